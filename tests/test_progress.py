"""How far a refresh is while it runs, and what it counted when it has ended."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from refresher.contract import Fetched, Held, Unchanged
from refresher.cycle import refresh
from refresher.errors import TransientError
from refresher.model import Asset, Outcome, Result, Wish
from refresher.record import Record
from refresher.traffic import Transfer
from tests.fakes.source import NOON, Source, Time, asset

CONTENT = bytes(range(256)) * 1024


@dataclass
class Remote:
    """A file of a revision of its own; `seen` is called at each read, and the stream ends `good` bytes later."""

    name: str
    revision: str
    seen: Callable[[], None] = lambda: None
    good: int = len(CONTENT)
    size: int | None = len(CONTENT)
    digest: str | None = None
    sensitive: bool = False

    def open(self, offset: int = 0) -> "Stream":
        return Stream(CONTENT[offset : self.good], self)


@dataclass
class Stream(io.RawIOBase):
    content: bytes
    file: Remote

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self.file.seen()
        part, self.content = self.content[: len(buffer)], self.content[len(buffer) :]
        if not part and self.file.good < len(CONTENT):
            raise TransientError("connection reset")
        buffer[: len(part)] = part
        return len(part)


@dataclass
class Remotes(Source):
    remotes: Sequence[Remote] = field(default_factory=list)

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        yield Fetched(revision=self.revision, files=self.remotes)


def refreshed(web: Asset, record: Record) -> Outcome:
    ended = refresh(web, wish=Wish.RENEW, clock=Time(), progress=record.progress)
    record.ended(ended.outcome, ended.holding)
    return ended.outcome


def test_what_is_on_its_way_is_seen_while_it_comes_and_not_afterwards(tmp_path: Path) -> None:
    seen: list[Transfer | None] = []
    source = Remotes()
    web = asset(tmp_path, source)
    record = Record(web, started_at=NOON)
    source.remotes = [Remote("a", "1", seen=lambda: seen.append(record.state(NOON).transfer))]
    assert record.state(NOON).transfer is None
    assert refreshed(web, record).result is Result.PUBLISHED
    shown = [(each.received, each.expected) for each in seen if each]
    assert (shown[0], shown[-1]) == ((0, len(CONTENT)), (len(CONTENT), len(CONTENT)))
    assert record.state(NOON).transfer is None


def test_a_source_that_does_not_say_how_much_is_coming_is_believed(tmp_path: Path) -> None:
    seen: list[Transfer | None] = []
    source = Remotes()
    web = asset(tmp_path, source)
    record = Record(web, started_at=NOON)
    source.remotes = [
        Remote("a", "1"),
        Remote("b", "1", size=None, seen=lambda: seen.append(record.state(NOON).transfer)),
    ]
    assert refreshed(web, record).result is Result.PUBLISHED
    assert {each.expected for each in seen if each} == {None}


def test_the_bytes_of_a_fetch_that_failed_are_counted_and_it_is_on_its_way_no_more(tmp_path: Path) -> None:
    web = asset(tmp_path, Remotes(remotes=[Remote("a", "1", good=1000)]))
    record = Record(web, started_at=NOON)
    outcome = refreshed(web, record)
    assert (outcome.result, outcome.fetched_bytes) == (Result.FAILED, 1000)
    assert record.state(NOON).transfer is None


def test_only_what_came_is_counted_and_not_what_was_kept_and_linked(tmp_path: Path) -> None:
    source = Remotes(remotes=[Remote("a", "1"), Remote("b", "1")])
    web = asset(tmp_path, source)
    record = Record(web, started_at=NOON)
    assert refreshed(web, record).fetched_bytes == 2 * len(CONTENT)
    source.revision, source.remotes = "r2", [Remote("a", "1"), Remote("b", "2"), Remote("c", "1")]
    assert refreshed(web, record).fetched_bytes == 2 * len(CONTENT)
    source.revision, source.remotes = "r3", [Remote("a", "1"), Remote("b", "2")]
    outcome = refreshed(web, record)
    assert (outcome.result, outcome.fetched_bytes) == (Result.PUBLISHED, 0)
