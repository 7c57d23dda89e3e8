import io
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest

from refresher.abilities import Observation
from refresher.contract import Fetched, Held, InlineFile, Unchanged
from refresher.errors import PermanentError, RefresherError, TransientError, UnavailableError
from refresher.testing import ProviderContract


@dataclass
class Source:
    content: bytes = b"first content"
    revision: int = 1
    error: Exception | None = None

    def fetched(self) -> Fetched:
        return Fetched(revision=str(self.revision), files=[InlineFile("file", self.content)])


@dataclass
class MemoryProvider:
    source: Source = field(default_factory=Source)

    def answer(self, held: Held | None) -> Fetched | Unchanged:
        fetched = self.source.fetched()
        return Unchanged() if held and held.revision == fetched.revision else fetched

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        if self.source.error:
            raise self.source.error
        yield self.answer(held)


class Kit(ProviderContract):
    settles_within = 0.1

    def __init__(self, kind: type[MemoryProvider] = MemoryProvider) -> None:
        self.kind, self.source = kind, Source()

    def provider(self) -> MemoryProvider:
        return self.kind(self.source)

    def change(self) -> None:
        self.source.content, self.source.revision = b"other content", self.source.revision + 1

    def missing_provider(self) -> MemoryProvider:
        return self.kind(Source(error=PermanentError("no such thing")))

    def unreachable_provider(self) -> MemoryProvider:
        return self.kind(Source(error=TransientError("nobody answers")))


TESTS = [name for name in dir(ProviderContract) if name.startswith("test_")]


@pytest.mark.parametrize("test", TESTS)
def test_a_provider_that_keeps_the_contract_passes(test: str) -> None:
    getattr(Kit(), test)()


class AlwaysFetched(MemoryProvider):
    def answer(self, held: Held | None) -> Fetched:
        return self.source.fetched()


class AlwaysUnchanged(MemoryProvider):
    def answer(self, held: Held | None) -> Fetched | Unchanged:
        return Unchanged() if held else self.source.fetched()


class NothingAtAll(MemoryProvider):
    def answer(self, held: Held | None) -> Fetched:
        return Fetched(revision="1", files=[])


class UnsafeName(MemoryProvider):
    def answer(self, held: Held | None) -> Fetched:
        return Fetched(revision="1", files=[InlineFile("../file", b"content")])


class WrongSize(MemoryProvider):
    def answer(self, held: Held | None) -> Fetched:
        return Fetched(revision="1", files=[Oversold("file", b"content")])


class Oversold(InlineFile):
    @property
    def size(self) -> int:
        return len(self.content) + 1


class IgnoresOffsets(MemoryProvider):
    def answer(self, held: Held | None) -> Fetched:
        return Fetched(revision="1", files=[FromTheStart("file", b"content")])


class FromTheStart(InlineFile):
    def open(self, offset: int = 0) -> io.BytesIO:
        return io.BytesIO(self.content)


class OneStream(MemoryProvider):
    def answer(self, held: Held | None) -> Fetched:
        return Fetched(revision="1", files=[Shared(b"content")])


class Shared:
    name, size, digest, sensitive = "file", None, None, False

    def __init__(self, content: bytes) -> None:
        self.stream = io.BytesIO(content)

    def open(self, offset: int = 0) -> io.BytesIO:
        self.stream.seek(offset)
        return self.stream


class SwappedErrors(MemoryProvider):
    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        kind = PermanentError if isinstance(self.source.error, TransientError) else TransientError
        raise kind("the wrong way round")
        yield Unchanged()


class VendorErrors(MemoryProvider):
    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        raise KeyError("vendor")
        yield Unchanged()


class Leaking(MemoryProvider):
    leaked: list[Any] = []  # noqa: RUF012 - it leaks on purpose

    def answer(self, held: Held | None) -> Fetched:
        self.leaked.append(open("/dev/null", "rb"))  # noqa: SIM115, PTH123
        return self.source.fetched()


class SeesNothing(MemoryProvider):
    def diagnose(self) -> list[Observation]:
        return [Observation.ok("memory", "there")]


class SeesGhosts(MemoryProvider):
    def diagnose(self) -> list[Observation]:
        return [Observation.ok("memory", "there"), Observation.fail("ghosts", "seen", "Call somebody.")]


class AdvisesNothing(MemoryProvider):
    def diagnose(self) -> list[Observation]:
        return [Observation.fail("memory", "gone", "")] if self.source.error else [Observation.ok("memory", "there")]


class LooksWell(MemoryProvider):
    def diagnose(self) -> Iterator[Observation]:
        if self.source.error:
            raise self.source.error
        yield Observation.ok("memory", "there")


class Watcher:
    """Waits until the source has another revision than it had, or until it is closed."""

    def __init__(self, source: Source) -> None:
        self.source, self.revision, self.closed = source, source.revision, Event()

    def wait(self) -> bool:
        while not self.closed.wait(0.01):
            if self.source.revision != self.revision:
                self.revision = self.source.revision
                return True
        raise TransientError("closed")

    def close(self) -> None:
        self.closed.set()


class Followed(MemoryProvider):
    follows, watcher = True, Watcher

    def follow(self, revision: str) -> Watcher:
        return self.watcher(self.source)


class Deaf(Watcher):
    def wait(self) -> bool:
        self.closed.wait()
        return False


class Clinging(Watcher):
    def close(self) -> None:
        pass


class FollowedByTheDeaf(Followed):
    watcher = Deaf


class FollowedForEver(Followed):
    watcher = Clinging


def test_a_provider_that_can_be_waited_at_passes() -> None:
    kit = Kit(Followed)
    kit.settles_within = 10
    kit.test_waiting_at_the_source_ends_with_a_change_and_when_it_is_told_to()


class NeverSaysAway(MemoryProvider):
    endpoint = "https://memory:443"


class ShowsItsPath(MemoryProvider):
    endpoint = "https://memory:443/secret"

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        raise UnavailableError("nobody answers")
        yield Unchanged()


class ShowsItsLogin(ShowsItsPath):
    endpoint = "https://user:password@memory:443"


@pytest.fixture
def _closed_afterwards() -> Iterator[None]:
    yield
    while Leaking.leaked:
        Leaking.leaked.pop().close()


@pytest.mark.usefixtures("_closed_afterwards")
@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (AlwaysFetched, Kit.test_shown_what_it_gave_it_answers_unchanged),
        (AlwaysUnchanged, Kit.test_after_a_change_it_answers_another_revision),
        (NothingAtAll, Kit.test_the_first_fetch_answers_fetched),
        (UnsafeName, Kit.test_the_names_are_relative_and_safe),
        (WrongSize, Kit.test_a_promised_size_holds),
        (IgnoresOffsets, Kit.test_reading_can_start_at_any_offset_and_again),
        (OneStream, Kit.test_two_streams_of_one_file_are_independent),
        (SwappedErrors, Kit.test_what_is_missing_is_permanent),
        (SwappedErrors, Kit.test_who_is_unreachable_is_transient),
        (NeverSaysAway, Kit.test_who_names_an_endpoint_says_when_it_is_away_and_shows_no_path_and_no_login),
        (ShowsItsPath, Kit.test_who_names_an_endpoint_says_when_it_is_away_and_shows_no_path_and_no_login),
        (ShowsItsLogin, Kit.test_who_names_an_endpoint_says_when_it_is_away_and_shows_no_path_and_no_login),
        (SeesNothing, Kit.test_a_diagnosis_finds_what_works_and_what_does_not),
        (SeesGhosts, Kit.test_a_diagnosis_finds_what_works_and_what_does_not),
        (AdvisesNothing, Kit.test_a_diagnosis_finds_what_works_and_what_does_not),
        (FollowedByTheDeaf, Kit.test_waiting_at_the_source_ends_with_a_change_and_when_it_is_told_to),
        (FollowedForEver, Kit.test_waiting_at_the_source_ends_with_a_change_and_when_it_is_told_to),
        (Leaking, Kit.test_every_connection_is_given_back),
    ],
)
def test_a_broken_provider_fails(kind: type[MemoryProvider], test: Callable[[Kit], None]) -> None:
    with pytest.raises((AssertionError, ValueError)):
        test(Kit(kind))


def test_a_provider_that_diagnoses_well_passes() -> None:
    Kit(LooksWell).test_a_diagnosis_finds_what_works_and_what_does_not()


@pytest.mark.parametrize("test", [Kit.test_what_is_missing_is_permanent, Kit.test_who_is_unreachable_is_transient])
def test_a_vendors_exception_is_not_swallowed(test: Callable[[Kit], None]) -> None:
    with pytest.raises(KeyError):
        test(Kit(VendorErrors))


@dataclass
class Asking(MemoryProvider):
    """Waits for a byte of the address, for ever if it is given no limit, and fails."""

    address: tuple[str, int] = ("", 0)
    patience: float | None = None
    failure: type[RefresherError] = TransientError

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        try:
            with socket.create_connection(self.address, self.patience) as connection:
                connection.recv(1)
        except OSError as error:
            raise self.failure("it says nothing") from error
        yield self.source.fetched()


class Waiting(Kit):
    def __init__(self, patience: float | None, failure: type[RefresherError] = TransientError) -> None:
        super().__init__()
        self.patience, self.failure = patience, failure

    def silent_provider(self, host: str, port: int) -> Asking:
        return Asking(self.source, (host, port), self.patience, self.failure)


def test_a_provider_that_gives_up_passes() -> None:
    Waiting(0.1).test_who_says_nothing_is_given_up()


def test_a_provider_over_a_network_without_an_endpoint_fails_unless_it_asks_several_servers() -> None:
    kit = Waiting(0.1)
    with pytest.raises(AssertionError, match="no `endpoint`"):
        kit.test_who_names_an_endpoint_says_when_it_is_away_and_shows_no_path_and_no_login()
    kit.several_servers = True
    kit.test_who_names_an_endpoint_says_when_it_is_away_and_shows_no_path_and_no_login()


def test_a_provider_that_gives_up_for_good_fails() -> None:
    with pytest.raises(AssertionError, match="PermanentError where TransientError is due"):
        Waiting(0.1, PermanentError).test_who_says_nothing_is_given_up()


def test_a_provider_that_waits_for_ever_fails() -> None:
    kit = Waiting(None)
    kit.gives_up_within = 1.0
    with pytest.raises(AssertionError, match="still waits after 1 s"):
        kit.test_who_says_nothing_is_given_up()


def test_a_source_that_mints_has_to_say_so() -> None:
    kit = Kit()
    kit.mints = True
    with pytest.raises(AssertionError, match="minted"):
        kit.test_the_first_fetch_answers_fetched()
