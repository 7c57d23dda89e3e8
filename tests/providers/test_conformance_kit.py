import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from refresher.abilities import Observation
from refresher.contract import Fetched, Held, InlineFile, Unchanged
from refresher.errors import PermanentError, TransientError, UnavailableError
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


def test_a_source_that_mints_has_to_say_so() -> None:
    kit = Kit()
    kit.mints = True
    with pytest.raises(AssertionError, match="minted"):
        kit.test_the_first_fetch_answers_fetched()
