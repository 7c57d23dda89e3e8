"""A notifier that breaks its contract fails the kit's test of it."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from refresher.contract import Change
from refresher.errors import RefresherError, RejectedError, TransientError
from refresher.testing import NotifierContract


@dataclass
class Ear:
    """An app; `error` is what telling it raises."""

    heard: list[int] = field(default_factory=list)
    error: RefresherError | None = None


class Sound:
    def __init__(self, ear: Ear) -> None:
        self.ear = ear

    def notify(self, change: Change) -> None:
        if self.ear.error:
            raise self.ear.error
        self.ear.heard.append(change.generation)


class Kit(NotifierContract):
    settles_within = 0.1

    def __init__(self, kind: type[Sound] = Sound) -> None:
        self.kind, self.ear = kind, Ear()

    def notifier(self) -> Sound:
        return self.kind(self.ear)

    def heard(self) -> int:
        return self.ear.heard[-1] if self.ear.heard else 0

    def deaf_notifier(self) -> Sound:
        return self.kind(Ear(error=TransientError("nobody is there")))

    def refusing_notifier(self) -> Sound:
        return self.kind(Ear(error=RejectedError("the app can't use it")))

    def silent_notifier(self, host: str, port: int) -> "Asking":
        return Asking((host, port), patience=0.1)


@dataclass
class Asking:
    address: tuple[str, int]
    patience: float | None

    def notify(self, change: Change) -> None:
        try:
            with socket.create_connection(self.address, self.patience) as connection:
                connection.recv(1)
        except OSError as error:
            raise TransientError("it says nothing") from error


class TellsNobody(Sound):
    def notify(self, change: Change) -> None:
        pass


class TellsOnce(Sound):
    def notify(self, change: Change) -> None:
        if change.generation in self.ear.heard:
            raise ValueError("told already")
        super().notify(change)


class TakesAbsenceForRefusal(Sound):
    def notify(self, change: Change) -> None:
        raise RejectedError("it didn't answer")


class TakesRefusalForAbsence(Sound):
    def notify(self, change: Change) -> None:
        raise TransientError("it didn't want to")


class Leaking(Sound):
    leaked: list[Any] = []  # noqa: RUF012 - it leaks on purpose

    def notify(self, change: Change) -> None:
        self.leaked.append(open("/dev/null", "rb"))  # noqa: SIM115, PTH123
        super().notify(change)


class Patient(Kit):
    gives_up_within = 1.0

    def silent_notifier(self, host: str, port: int) -> Asking:
        return Asking((host, port), patience=None)


@pytest.fixture
def _closed_afterwards() -> Iterator[None]:
    yield
    while Leaking.leaked:
        Leaking.leaked.pop().close()


TESTS = [name for name in dir(NotifierContract) if name.startswith("test_")]


@pytest.mark.parametrize("test", TESTS)
def test_a_notifier_that_keeps_the_contract_passes(test: str) -> None:
    getattr(Kit(), test)()


@pytest.mark.usefixtures("_closed_afterwards")
@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (TellsNobody, Kit.test_the_app_has_heard_when_it_returns),
        (TellsOnce, Kit.test_telling_again_does_no_harm),
        (TakesAbsenceForRefusal, Kit.test_an_app_that_is_not_there_has_not_heard),
        (TakesRefusalForAbsence, Kit.test_an_app_that_refuses_is_a_rejection),
        (Leaking, Kit.test_every_connection_is_given_back),
    ],
)
def test_a_broken_notifier_fails(kind: type[Sound], test: Callable[[Kit], None]) -> None:
    with pytest.raises((AssertionError, ValueError)):
        test(Kit(kind))


def test_a_notifier_that_waits_for_ever_fails() -> None:
    with pytest.raises(AssertionError, match="still waits after 1 s"):
        Patient().test_who_says_nothing_is_given_up()
