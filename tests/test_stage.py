"""Copying what a source offers to the disk."""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from refresher.contract import Fetched, InlineFile, RemoteFile, StagedFile
from refresher.crew import Copies
from refresher.errors import PermanentError, RejectedError, TransientError
from refresher.incoming import Incoming
from refresher.landing import KEY_LIMIT, PRIVATE_KEY
from refresher.model import Candidate, Limits, NamedVerifier, Publish, Refresh
from refresher.options import parse_duration
from refresher.stage import stage
from refresher.traffic import Progress
from refresher.transfer.reading import BREAKS
from refresher.verifiers.checksums import ChecksumsOptions, ChecksumsVerifier
from refresher.volume import Directory
from tests.fakes.source import Source, Time, asset

CONTENT = bytes(range(256)) * 16


@dataclass
class Brittle(io.RawIOBase):
    """A stream that breaks after `good` bytes."""

    content: bytes
    good: int

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        part = self.content[: min(self.good, len(buffer))]
        if not part and self.content:
            raise TransientError("connection reset")
        buffer[: len(part)] = part
        self.content, self.good = self.content[len(part) :], self.good - len(part)
        return len(part)


@dataclass
class Breaking:
    """A file whose streams break after so many bytes each."""

    breaks: list[int]
    name: str = "a"
    size: int | None = len(CONTENT)
    digest: str | None = None
    sensitive: bool = False
    offsets: list[int] = field(default_factory=list)

    def open(self, offset: int = 0) -> Brittle:
        self.offsets.append(offset)
        good = self.breaks.pop(0) if self.breaks else len(CONTENT)
        return Brittle(CONTENT[offset:], good)


class Nothing:
    """Nothing is kept."""

    def link_revision(self, name: str, revision: str, *, into: Directory) -> None:
        return None

    def has(self, digest: str, *, size: int | None) -> bool:
        return False

    def link_digest(self, name: str, digest: str | None, *, into: Directory) -> None:
        return None

    def instead(self, name: str, staged: StagedFile, *, into: Directory) -> StagedFile:
        return staged


class Everything(Nothing):
    """All that anybody promises is kept."""

    def has(self, digest: str, *, size: int | None) -> bool:
        return True

    def link_digest(self, name: str, digest: str | None, *, into: Directory) -> StagedFile | None:
        return StagedFile(size=len(CONTENT), digest=digest, sensitive=False) if digest else None


@contextmanager
def staged(
    tmp_path: Path,
    files: Sequence[RemoteFile],
    *,
    begun: Sequence[str] = (),
    copies: Copies = Nothing(),  # noqa: B008 - has no state
    require_room: Callable[[int], None] = lambda _: None,
    **changes: object,
) -> Iterator[Candidate]:
    web = replace(asset(tmp_path, Source()), **changes)  # type: ignore[arg-type]
    with Directory.at(tmp_path) as into:
        yield stage(
            Fetched(revision="r", files=files),
            into=Incoming(into, into, parts=set(begun)),
            asset=web,
            copies=copies,
            require_room=require_room,
            progress=Progress(),
            published=None,
            clock=Time(),
        )


def expect_rejected(tmp_path: Path, file: RemoteFile, words: str, **changes: object) -> None:
    with pytest.raises(RejectedError, match=words), staged(tmp_path, [file], **changes):
        pass


def test_a_stream_that_breaks_goes_on_where_it_stopped(tmp_path: Path) -> None:
    file = Breaking([1000, 500, 0, 0, 700])
    with staged(tmp_path, [file]):
        assert (tmp_path / "a").read_bytes() == CONTENT
    assert file.offsets == [0, 1000, 1500, 1500, 1500, 2200]


def test_a_stream_that_gets_nowhere_is_given_up(tmp_path: Path) -> None:
    file = Breaking([1000] + [0] * 10)
    with pytest.raises(TransientError, match="reset"), staged(tmp_path, [file]):
        pass
    assert len(file.offsets) == 1 + BREAKS


def test_what_came_already_needs_no_room_again(tmp_path: Path) -> None:
    asked: list[int] = []
    (tmp_path / "a").write_bytes(CONTENT[:1000])
    with staged(tmp_path, [Breaking([]), InlineFile("b", b"x")], begun=["a"], require_room=asked.append):
        assert (tmp_path / "a").read_bytes() == CONTENT
    assert asked == [len(CONTENT) - 1000 + 1]


def test_what_a_list_promises_and_is_kept_needs_no_room(tmp_path: Path) -> None:
    asked: list[int] = []
    listing = f"{'0' * 64}  a\n".encode()
    sums = NamedVerifier(name="sums", verifier=ChecksumsVerifier(ChecksumsOptions(file="L")))
    files = [Breaking([]), InlineFile("b", b"x"), InlineFile("L", listing, sensitive=False)]
    with staged(tmp_path, files, copies=Everything(), require_room=asked.append, verifiers=(sums,)) as candidate:
        assert list(candidate.files) == ["a", "b", "L"]
    assert asked == [len(listing), 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["L", "b"]


def test_a_source_that_is_too_slow_is_given_up_and_not_asked_again(tmp_path: Path) -> None:
    file = Breaking([])
    slow = {"refresh": Refresh(timeout=parse_duration("0")), "limits": Limits(min_rate=10**12)}
    with pytest.raises(TransientError, match="too slow"), staged(tmp_path, [file], **slow):
        pass
    assert file.offsets == [0]


def test_promises_that_do_not_hold(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="were promised"), staged(tmp_path, [Breaking([], size=1)]):
        pass
    wrong = InlineFile("a", b"x", digest="sha256:00")
    with pytest.raises(TransientError, match="promised digest"), staged(tmp_path, [wrong]):
        pass


def test_a_file_that_does_not_say_how_long_it_is_stops_at_its_limit(tmp_path: Path) -> None:
    expect_rejected(tmp_path, Breaking([], size=None), "larger than its limit", limits=Limits(file=100))


@pytest.mark.parametrize("before", [0, 15, 4096 - 8, KEY_LIMIT - len(PRIVATE_KEY)])
def test_a_private_key_is_found_wherever_it_stands(tmp_path: Path, before: int) -> None:
    with staged(tmp_path, [InlineFile("a", b"x" * before + PRIVATE_KEY, sensitive=False)]) as candidate:
        assert candidate.files["a"].sensitive
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_nobody_reads_a_file_before_it_is_complete(tmp_path: Path) -> None:
    modes: list[int] = []

    class Watching(Brittle):
        def readinto(self, buffer: memoryview) -> int:
            modes.append((tmp_path / "a").stat().st_mode & 0o777)
            return super().readinto(buffer)

    class Watched(Breaking):
        def open(self, offset: int = 0) -> Brittle:
            return Watching(CONTENT, len(CONTENT))

    before = os.umask(0)
    try:
        with staged(tmp_path, [Watched([])]):
            assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)
    assert set(modes) == {0o600}


@pytest.mark.parametrize("owner", ["root", "1:2:3", "1:x"])
def test_an_owner_that_is_no_number_is_an_error(tmp_path: Path, owner: str) -> None:
    with (
        pytest.raises(PermanentError, match=r"publish\.owner"),
        staged(tmp_path, [InlineFile("a", b"x")], publish=Publish(owner=owner)),
    ):
        pass


def test_files_get_the_owner_that_was_asked_for(tmp_path: Path) -> None:
    uid, gid = (1234, 2345) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    with staged(tmp_path, [InlineFile("a", b"x")], publish=Publish(owner=f"{uid}:1", group=str(gid))):
        assert ((tmp_path / "a").stat().st_uid, (tmp_path / "a").stat().st_gid) == (uid, gid)
