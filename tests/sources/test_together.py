"""Several sources as one asset: fetched together, published together, and only what changed is fetched again."""

import hashlib
import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import BinaryIO

import pytest

from refresher import cycle, telling
from refresher.contract import Fetched, FileSet, Held, InlineFile, StagedFile, Unchanged
from refresher.errors import (
    PermanentError,
    RefresherError,
    RejectedError,
    StartOverError,
    TransientError,
    UnavailableError,
)
from refresher.model import Asset, LayoutName, Outcome, Publish, Result, Wish
from refresher.place import holding_on
from refresher.sources import Sources
from tests.archives.making import tar_of
from tests.fakes.source import NOON, App, Certificates, Source, Time, asset, read
from tests.waiting import until

TIMEOUT = timedelta(seconds=60)


@pytest.fixture
def db() -> Source:
    return Source({"password": b"secret"}, revision="4", sensitive=True)


@pytest.fixture
def flags() -> Source:
    return Source({"flags.json": b"{}"}, revision='"e1"')


@pytest.fixture
def web(tmp_path: Path, db: Source, flags: Source) -> Asset:
    return of(tmp_path, db=db, flags=flags)


def of(volume: Path, timeout: timedelta = TIMEOUT, **sources: Source) -> Asset:
    return asset(volume, Sources(sources, timeout=timeout), publish=Publish(grace=timedelta(0)))  # type: ignore[arg-type]


def refreshed(web: Asset, wish: Wish = Wish.LOOK) -> Outcome:
    return cycle.refresh(web, wish=wish, clock=Time()).outcome


def test_each_sources_files_appear_below_its_name_and_all_at_once(web: Asset) -> None:
    assert refreshed(web).result is Result.PUBLISHED
    assert read(web.directory) == {"db/password": b"secret", "flags/flags.json": b"{}"}


def test_a_secret_stays_one_under_its_longer_name(web: Asset) -> None:
    refreshed(web)
    modes = {name: (web.directory / name).stat().st_mode & 0o777 for name in ("db/password", "flags/flags.json")}
    assert modes == {"db/password": 0o640, "flags/flags.json": 0o644}


def test_where_nothing_changed_nothing_is_opened_and_nothing_published(web: Asset, db: Source, flags: Source) -> None:
    refreshed(web)
    assert refreshed(web).result is Result.UNCHANGED
    assert db.opened == ["db/password"]
    assert flags.opened == ["flags/flags.json"]


def test_only_what_changed_is_fetched_again(web: Asset, db: Source, flags: Source) -> None:
    refreshed(web)
    flags.put('"e2"', flags_json=b'{"new": true}')
    outcome = refreshed(web)
    assert (outcome.result, outcome.generation) == (Result.PUBLISHED, 2)
    assert read(web.directory) == {"db/password": b"secret", "flags/flags.json": b'{"new": true}'}
    assert db.opened == ["db/password"]


def test_each_source_is_shown_what_is_its_own(web: Asset, db: Source, flags: Source) -> None:
    refreshed(web)
    refreshed(web)
    shown = db.shown[-1]
    assert shown is not None
    assert (shown.revision, list(shown.digests), shown.lease) == ("4", ["password"], None)
    assert flags.shown[-1] is not None
    assert flags.shown[-1].revision == '"e1"'


def test_a_restart_fetches_nothing(web: Asset, tmp_path: Path, db: Source, flags: Source) -> None:
    refreshed(web)
    again = of(tmp_path, db=db, flags=flags)
    cycle.begin(again)
    assert refreshed(again).result is Result.UNCHANGED
    assert db.opened + flags.opened == ["db/password", "flags/flags.json"]


def test_one_change_is_told_once(tmp_path: Path, db: Source, flags: Source) -> None:
    app = App()
    web = asset(tmp_path, Sources({"db": db, "flags": flags}, timeout=TIMEOUT), app=app)  # type: ignore[arg-type]
    refreshed(web)
    db.put("5", password=b"changed")
    flags.put('"e2"', flags_json=b"{ }")
    refreshed(web)
    list(telling.tell(web.notifiers[0], [web], clock=Time()))
    assert [(change.generation, sorted(change.files)) for change in app.heard] == [
        (2, ["db/password", "flags/flags.json"])
    ]


def test_while_one_source_is_down_nothing_changes(web: Asset, db: Source, flags: Source) -> None:
    refreshed(web)
    db.put("5", password=b"changed")
    flags.trouble = TransientError("nobody answers")
    outcome = refreshed(web)
    assert (outcome.result, outcome.error) == (Result.FAILED, "flags: nobody answers")
    assert read(web.directory)["db/password"] == b"secret"
    flags.trouble = None
    assert refreshed(web).result is Result.PUBLISHED


@pytest.mark.parametrize(
    ("one", "other", "worst"),
    [
        (TransientError("a"), PermanentError("b"), PermanentError),
        (RejectedError("a"), TransientError("b"), RejectedError),
        (RejectedError("a"), PermanentError("b"), PermanentError),
        (TransientError("a"), StartOverError("b"), TransientError),
        (UnavailableError("a"), UnavailableError("b"), UnavailableError),
        (UnavailableError("a"), TransientError("b"), UnavailableError),
        (UnavailableError("a"), RejectedError("b"), RejectedError),
    ],
)
def test_of_several_errors_all_are_said_and_the_worst_decides(
    web: Asset, db: Source, flags: Source, one: Exception, other: Exception, worst: type[RefresherError]
) -> None:
    db.trouble, flags.trouble = one, other
    with pytest.raises(worst, match=r"^db: a; flags: b$") as raised, web.provider.fetch(None):
        pass
    assert type(raised.value) is worst


def test_a_server_that_is_away_is_that_at_one_source_too(web: Asset, db: Source) -> None:
    db.trouble = UnavailableError("nobody answers")
    outcome = refreshed(web)
    assert (outcome.error, outcome.error_class) == ("db: nobody answers", "UnavailableError")


def test_the_longest_retry_after_is_obeyed(web: Asset, db: Source, flags: Source) -> None:
    db.trouble = TransientError("busy", retry_after=timedelta(seconds=3))
    flags.trouble = TransientError("busy", retry_after=timedelta(seconds=9))
    assert refreshed(web).retry_after == timedelta(seconds=9)


def test_a_bug_in_one_source_is_said_without_its_text(web: Asset, db: Source, caplog: pytest.LogCaptureFixture) -> None:
    db.trouble = KeyError("hunter2")
    outcome = refreshed(web)
    assert (outcome.error, outcome.error_class) == (
        "db: unexpected KeyError (a bug; the log says where)",
        "PermanentError",
    )
    assert "source db: a bug, KeyError at" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_source_that_changes_while_it_is_read_is_named(web: Asset, flags: Source) -> None:
    flags.changed_midway = True
    outcome = refreshed(web)
    assert (outcome.result, outcome.error) == (Result.FAILED, "flags: it changed while it was read")


def test_a_source_without_files_is_rejected(web: Asset, flags: Source) -> None:
    flags.files = {}
    outcome = refreshed(web)
    assert outcome.result is Result.REJECTED
    assert outcome.error == "flags: the source has no files, and nothing empty is published"


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "..data", "a//b"])
def test_a_name_that_leads_elsewhere_is_rejected(web: Asset, flags: Source, name: str) -> None:
    flags.files = {name: b"x"}
    assert refreshed(web).result is Result.REJECTED


@dataclass
class Entered(Source):
    """A source that notes how its fetch is left, and with what; it answers once `answers` is set."""

    left: list[str] = field(default_factory=list)
    answers: Event = field(default_factory=Event)
    asked: Event = field(default_factory=Event)
    over: Event = field(default_factory=Event)
    closed: list[bool] = field(default_factory=list)

    def close(self) -> None:
        self.closed.append(self.over.is_set())

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        self.asked.set()
        self.answers.wait(30)
        try:
            with super().fetch(held) as answer:
                yield answer
            self.left.append("well")
        except RefresherError as error:
            self.left.append(str(error))
            raise
        finally:
            self.over.set()


def test_sources_are_asked_side_by_side(tmp_path: Path) -> None:
    one, other = Entered(), Entered()
    one.answers, other.answers = other.asked, one.asked
    assert refreshed(of(tmp_path, one=one, other=other)).result is Result.PUBLISHED


def test_where_one_fails_the_others_are_left(tmp_path: Path, flags: Source) -> None:
    one = Entered()
    one.answers.set()
    flags.trouble = PermanentError("gone")
    refreshed(of(tmp_path, one=one, flags=flags))
    assert one.left == ["flags: gone"]


def test_a_source_that_never_answers_fails_in_time_and_is_left_when_it_does(tmp_path: Path, flags: Source) -> None:
    slow = Entered()
    outcome = refreshed(of(tmp_path, timeout=timedelta(seconds=3), slow=slow, flags=flags))
    assert (outcome.result, outcome.error) == (Result.FAILED, "slow: no answer in time (refresh.timeout)")
    assert not slow.over.is_set()
    slow.answers.set()
    assert slow.over.wait(30)


def test_a_source_that_still_owes_an_answer_is_not_asked_once_more(tmp_path: Path) -> None:
    slow = Entered()
    web = of(tmp_path, timeout=timedelta(seconds=0.2), slow=slow)
    threads = threading.active_count()
    for _ in range(3):
        assert refreshed(web).error == "slow: no answer in time (refresh.timeout)"
    assert threading.active_count() <= threads + 1
    slow.answers.set()
    assert slow.over.wait(30)
    assert until(lambda: refreshed(web).result is Result.PUBLISHED)


def test_a_source_that_still_owes_an_answer_is_closed_after_it(tmp_path: Path) -> None:
    slow, quick = Entered(), Entered()
    quick.answers.set()
    web = of(tmp_path, timeout=timedelta(seconds=3), slow=slow, quick=quick)
    refreshed(web)
    assert isinstance(web.provider, Sources)
    web.provider.close()
    assert (slow.closed, quick.closed) == ([], [True])
    slow.answers.set()
    until(lambda: slow.closed)
    assert slow.closed == [True]


def test_a_damaged_file_has_its_source_asked_for_all_of_it(web: Asset, db: Source, flags: Source) -> None:
    refreshed(web)
    (web.directory / "db" / "password").chmod(0o600)
    (web.directory / "db" / "password").write_bytes(b"SECRET")
    flags.put('"e2"', flags_json=b"{ }")
    assert refreshed(web).result is Result.PUBLISHED
    assert db.shown[-1] is None
    assert read(web.directory)["db/password"] == b"secret"


def test_a_missing_file_has_its_source_asked_for_all_of_it(web: Asset, db: Source, flags: Source) -> None:
    refreshed(web)
    (web.directory / "db").resolve().joinpath("password").unlink()
    flags.put('"e2"', flags_json=b"{ }")
    assert refreshed(web).result is Result.PUBLISHED
    assert read(web.directory) == {"db/password": b"secret", "flags/flags.json": b"{ }"}


def test_a_source_that_says_unchanged_of_nothing_is_said(web: Asset, db: Source) -> None:
    @contextmanager
    def fetch(held: Held | None) -> Iterator[Fetched | Unchanged]:
        yield Unchanged()

    db.fetch = fetch  # type: ignore[method-assign]
    assert refreshed(web).error == "db: it answers that nothing changed, and was shown nothing"


def test_a_source_without_revisions_publishes_only_what_is_new(tmp_path: Path, db: Source) -> None:
    bare = Source({"page": b"one"}, revision="")
    bare.fetch = Bare(bare).fetch  # type: ignore[method-assign]
    web = of(tmp_path, bare=bare, db=db)
    refreshed(web)
    assert refreshed(web).result is Result.UNCHANGED
    bare.files = {"page": b"two"}
    assert refreshed(web).result is Result.PUBLISHED
    assert db.opened == ["db/password"]


@dataclass
class Bare:
    """A source that never knows whether anything changed."""

    source: Source

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        yield Fetched(revision="", files=[InlineFile(name, each) for name, each in self.source.files.items()])


def test_what_was_refused_without_a_revision_is_judged_again(tmp_path: Path, db: Source) -> None:
    bare = Source({"page.txt": b"<html>"}, revision="")
    bare.fetch = Bare(bare).fetch  # type: ignore[method-assign]
    web = of(tmp_path, bare=bare, db=db)
    assert refreshed(web).result is Result.REJECTED
    bare.files = {"page.txt": b"fine"}
    assert refreshed(web).result is Result.PUBLISHED


@pytest.mark.parametrize("revision", ["", "r1", "[]", '{"db":5}', '{"db":{"minted":7}}', "[" * 100_000])
def test_a_revision_that_is_none_of_ours_has_everything_fetched(
    web: Asset, db: Source, flags: Source, revision: str
) -> None:
    held = Held(revision=revision, digests={})
    with web.provider.fetch(held) as answer:
        assert isinstance(answer, Fetched)
    assert db.shown == flags.shown == [None]


@pytest.mark.parametrize("layout", [LayoutName.LINK, LayoutName.VERSIONS])
def test_layouts_for_several_files_show_them(tmp_path: Path, db: Source, flags: Source, layout: LayoutName) -> None:
    sources = Sources({"db": db, "flags": flags}, timeout=TIMEOUT)
    web = asset(tmp_path, sources, publish=Publish(layout=layout))  # type: ignore[arg-type]
    refreshed(web)
    flags.put('"e2"', flags_json=b"{ }")
    assert refreshed(web).result is Result.PUBLISHED
    shown = web.directory / "2" if layout is LayoutName.VERSIONS else web.directory
    assert (shown / "db" / "password").read_bytes() == b"secret"
    assert (shown / "flags" / "flags.json").read_bytes() == b"{ }"
    assert db.opened == ["db/password"]


@pytest.fixture
def tls() -> Certificates:
    return Certificates()


def test_a_look_makes_nothing_anew_and_sees_what_changed_beside_it(
    tmp_path: Path, tls: Certificates, flags: Source
) -> None:
    web = of(tmp_path, tls=tls, flags=flags)
    refreshed(web)
    assert refreshed(web).result is Result.UNCHANGED
    flags.put('"e2"', flags_json=b"{ }")
    assert refreshed(web).result is Result.PUBLISHED
    assert tls.made == 1
    assert read(web.directory) == {"tls/tls.crt": b"certificate 1", "flags/flags.json": b"{ }"}
    current = holding_on(web).current
    assert current is not None
    assert current.minted


def test_what_only_making_it_again_would_tell_is_not_asked_at_a_look(tmp_path: Path, flags: Source) -> None:
    minted = Source({"token": b"one"}, minted=True)
    web = of(tmp_path, minted=minted, flags=flags)
    refreshed(web)
    flags.put('"e2"', flags_json=b"{ }")
    assert refreshed(web).result is Result.PUBLISHED
    assert minted.shown == [None]
    refreshed(web, Wish.RENEW)
    assert len(minted.shown) == 2


def test_at_the_renewal_nothing_is_made_for_nothing(tmp_path: Path, tls: Certificates, flags: Source) -> None:
    web = of(tmp_path, tls=tls, flags=flags)
    refreshed(web)
    flags.trouble = TransientError("down")
    for _ in range(3):
        assert refreshed(web, Wish.RENEW).result is Result.FAILED
    assert tls.made == 1
    flags.trouble = None
    assert refreshed(web, Wish.RENEW).result is Result.PUBLISHED
    assert read(web.directory)["tls/tls.crt"] == b"certificate 2"


def test_a_large_file_that_did_not_change_is_linked_even_beside_what_is_minted(
    tmp_path: Path, tls: Certificates
) -> None:
    model = Big({"model.bin": b"x" * 100_000})
    web = of(tmp_path, tls=tls, model=model)
    refreshed(web)
    before = (web.directory / "model" / "model.bin").stat().st_ino
    refreshed(web, Wish.RENEW)
    assert read(web.directory)["tls/tls.crt"] == b"certificate 2"
    assert (web.directory / "model" / "model.bin").stat().st_ino == before
    assert model.opened == ["model.bin"]


@dataclass
class Big(Source):
    """Its files don't come with the answer."""

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        with super().fetch(held) as answer:
            yield answer if isinstance(answer, Unchanged) else replace(answer, files=[Remote(f) for f in answer.files])  # type: ignore[arg-type]


@dataclass(frozen=True)
class Remote:
    """A file that has to be opened."""

    file: InlineFile
    sensitive: bool = False
    digest: str | None = None

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def size(self) -> int:
        return self.file.size

    def open(self, offset: int = 0):  # type: ignore[no-untyped-def]
        return self.file.open(offset)


def test_the_earliest_of_what_sources_say_of_the_time_counts(web: Asset, db: Source, flags: Source) -> None:
    db.as_of, flags.as_of = NOON, NOON - timedelta(seconds=5)
    db.changes_at, flags.changes_at = NOON + timedelta(hours=2), NOON + timedelta(hours=1)
    with web.provider.fetch(None) as answer:
        assert (answer.as_of, answer.changes_at) == (flags.as_of, flags.changes_at)
    with web.provider.fetch(Held(revision=answer.revision, digests={})) as answer:  # type: ignore[union-attr]
        assert isinstance(answer, Unchanged)
        assert (answer.as_of, answer.changes_at) == (flags.as_of, flags.changes_at)


def test_an_archive_that_did_not_change_stays_unpacked_and_one_inside_of_it_packed(
    tmp_path: Path, flags: Source
) -> None:
    inner = tar_of({"deep.txt": b"deep"})
    model = Source({"model.tar": tar_of({"weights.bin": b"w" * 1000, "inner.tar": inner})}, revision="1")
    web = replace(of(tmp_path, model=model, flags=flags), unpack=True)
    refreshed(web)
    before = read(web.directory)
    assert before["model/inner.tar"] == inner
    flags.put('"e2"', flags_json=b"{ }")
    assert refreshed(web).result is Result.PUBLISHED
    assert read(web.directory) == before | {"flags/flags.json": b"{ }"}


@dataclass
class Keeping(Source):
    """A source that makes the new out of what is published."""

    built_on: list[FileSet | None] = field(default_factory=list)

    def building_on(self, published: FileSet | None) -> Source:
        self.built_on.append(published)
        return self


def test_a_source_that_builds_on_what_is_published_is_shown_its_own_part(tmp_path: Path, flags: Source) -> None:
    keeping = Keeping({"tls.key": b"key"})
    web = of(tmp_path, tls=keeping, flags=flags)
    refreshed(web)
    refreshed(web)
    first, second = keeping.built_on
    assert first is None
    assert second is not None
    assert list(second.files) == ["tls.key"]


def test_the_files_of_unchanged_sources_can_come_from_elsewhere_than_what_is_published(
    db: Source, flags: Source
) -> None:
    staged = StagedFile(size=3, digest=f"sha256:{hashlib.sha256(b'own').hexdigest()}", sensitive=True)

    sources = Sources({"db": db, "flags": flags}, timeout=TIMEOUT)
    sources = sources.building_on(InMemory({"db/password": staged}))
    with sources.fetch(None) as answer:
        assert isinstance(answer, Fetched)
    flags.put('"e2"', flags_json=b"{ }")
    with sources.fetch(Held(revision=answer.revision, digests={})) as again:
        assert isinstance(again, Fetched)
        assert [file.name for file in again.files] == ["db/password", "flags/flags.json"]
        with closing(again.files[0].open()) as stream:
            buffer = bytearray(9)
            assert buffer[: stream.readinto(memoryview(buffer))] == b"own"
    assert db.shown == [None, Held(revision="4", digests={})]


@dataclass
class InMemory:
    """Files that are on no disk."""

    files: Mapping[str, StagedFile]

    def open(self, name: str) -> BinaryIO:
        return io.BytesIO(b"own")
