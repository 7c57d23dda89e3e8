"""A verifier that breaks its contract fails the kit's test of it."""

from collections.abc import Callable, Mapping
from datetime import datetime

import pytest

from refresher.contract import Candidate, Finding
from refresher.errors import PermanentError, RejectedError
from refresher.testing import VerifierContract


class Sound:
    """Accepts what begins with `good`."""

    def verify(self, candidate: Candidate) -> Finding:
        if "file" not in candidate.files:
            raise RejectedError("there is no file")
        with candidate.open("file") as file:
            if not self.begins(file.read(100)):
                raise RejectedError("it doesn't begin with good")
        return self.finding()

    def begins(self, content: bytes) -> bool:
        return content.startswith(b"good")

    def finding(self) -> Finding:
        return Finding()


class Kit(VerifierContract):
    def __init__(self, kind: type[Sound] = Sound) -> None:
        self.kind = kind

    def verifier(self) -> Sound:
        return self.kind()

    def good(self) -> Mapping[str, bytes]:
        return {"file": b"good content"}

    def bad(self) -> Mapping[str, bytes]:
        return {"file": b"bad content"}

    def unable_verifier(self) -> Sound:
        return Unable() if self.kind is Sound else self.kind()


class Unable(Sound):
    def finding(self) -> Finding:
        raise PermanentError("there is no key")


class AcceptsAll(Sound):
    def begins(self, content: bytes) -> bool:
        return True


class AcceptsNothing(Sound):
    def begins(self, content: bytes) -> bool:
        return False


class TripsOverNoise(Sound):
    def begins(self, content: bytes) -> bool:
        return content.decode().startswith("good")


class TakesFilesForGranted(Sound):
    def verify(self, candidate: Candidate) -> Finding:
        with candidate.open("file"):
            return Finding()


class LeavesOpen(Sound):
    def verify(self, candidate: Candidate) -> Finding:
        candidate.open("file").read()
        return Finding()


class WithoutZone(Sound):
    def finding(self) -> Finding:
        return Finding(expires_at=datetime(2026, 11, 22))  # noqa: DTZ001 - that is what is wrong with it


class AsksTheClock(Sound):
    looks = 0

    def finding(self) -> Finding:
        self.looks += 1
        return Finding(expires_at=datetime.fromtimestamp(self.looks).astimezone())


class SaysNothing(Sound):
    def verify(self, candidate: Candidate) -> Finding:
        return None  # type: ignore[return-value]


TESTS = [name for name in dir(VerifierContract) if name.startswith("test_")]


@pytest.mark.parametrize("test", TESTS)
def test_a_verifier_that_keeps_the_contract_passes(test: str) -> None:
    getattr(Kit(), test)()


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (AcceptsAll, Kit.test_what_is_bad_is_rejected),
        (AcceptsNothing, Kit.test_what_is_good_is_accepted),
        (SaysNothing, Kit.test_what_is_good_is_accepted),
        (WithoutZone, Kit.test_what_is_good_is_accepted),
        (AsksTheClock, Kit.test_what_is_good_is_accepted),
        (TakesFilesForGranted, Kit.test_a_file_that_is_not_there_is_no_bug),
        (TripsOverNoise, Kit.test_a_file_that_is_noise_is_no_bug),
        (LeavesOpen, Kit.test_every_file_is_closed),
        (AcceptsNothing, Kit.test_who_cannot_judge_refuses_nothing),
    ],
)
def test_a_broken_verifier_fails(kind: type[Sound], test: Callable[[Kit], None]) -> None:
    with pytest.raises((AssertionError, RejectedError)):
        test(Kit(kind))
