"""A refresh of large files: what came before isn't fetched again, what is kept is linked, and nobody waits for it."""

import hashlib
import io
import os
import resource
import shutil
import tarfile
import threading
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from refresher import cycle, rollback
from refresher.contract import InlineFile
from refresher.errors import PermanentError, RejectedError, StartOverError, TransientError
from refresher.incoming import KEPT_FOR
from refresher.ledger import Told
from refresher.model import Asset, LayoutName, Limits, Outcome, Publish, Result, Wish
from refresher.place import opened
from tests.fakes.models import MiB, Model, Models, Stream, Unmeasured, content
from tests.fakes.source import NOON, Judge, Source, Time, asset, read

ONE, TWO, THREE = content(12 * MiB, seed=1), content(12 * MiB, seed=2), content(MiB, seed=3)


def web(volume: Path, files: Sequence[Model], *, revision: str = "r1", **changes: object) -> Asset:
    return replace(asset(volume, Source()), **{"provider": Models(files, revision), **changes})  # type: ignore[arg-type]


def refresh(the: Asset, *, wish: Wish = Wish.RENEW) -> Outcome:
    return cycle.refresh(the, wish=wish, clock=Time()).outcome


def incoming(volume: Path) -> list[Path]:
    return sorted((volume / "web/..refresher").glob("incoming-*"))


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_the_next_attempt_goes_on_where_this_one_broke_off(tmp_path: Path) -> None:
    broken = Model("m", ONE, breaks=[7 * MiB, 0, 0, 0])
    assert refresh(web(tmp_path, [broken])).error_class == "TransientError"
    whole = Model("m", ONE)
    outcome = refresh(web(tmp_path, [whole]))
    assert outcome.result is Result.PUBLISHED
    assert read(tmp_path / "web") == {"m": ONE}
    assert broken.moved + whole.moved <= len(ONE) + 2 * MiB
    assert outcome.fetched_bytes == whole.moved
    assert incoming(tmp_path) == []
    assert sorted(path.name for path in (tmp_path / "web/..refresher/00000001").iterdir()) == ["files", "manifest.json"]


def test_files_that_had_come_whole_are_not_fetched_again(tmp_path: Path) -> None:
    first = [Model("a", ONE), Model("deep/er/b", THREE), Model("z", TWO, trouble=TransientError("down"))]
    assert refresh(web(tmp_path, first, limits=Limits(connections=1))).result is Result.FAILED
    again = [Model("a", ONE), Model("deep/er/b", THREE), Model("z", TWO)]
    assert refresh(web(tmp_path, again)).result is Result.PUBLISHED
    assert [model.moved for model in again] == [0, 0, len(TWO)]
    assert read(tmp_path / "web") == {"a": ONE, "deep/er/b": THREE, "z": TWO}


def test_what_can_only_be_read_as_a_whole_starts_over_at_once(tmp_path: Path) -> None:
    class Whole(Model):
        def open(self, offset: int = 0) -> Stream:
            if offset:
                raise StartOverError("not from the middle")
            return super().open()

    broken = Whole("m", ONE, breaks=[7 * MiB, 7 * MiB])
    assert refresh(web(tmp_path, [broken])).result is Result.FAILED
    assert len(broken.opened) == 2
    again = Whole("m", ONE)
    assert refresh(web(tmp_path, [again])).result is Result.PUBLISHED
    assert len(again.opened) == 1
    assert read(tmp_path / "web") == {"m": ONE}


def test_a_plugin_that_never_reads_on_from_the_middle_gets_another_chance(tmp_path: Path) -> None:
    class Stubborn:
        name, size, digest, sensitive, revision = "m", len(ONE), None, False, "v1"

        def __init__(self, *, breaks: Sequence[int] = ()) -> None:
            self.model = Model("m", ONE, breaks=list(breaks))

        def open(self, offset: int = 0) -> Stream:
            if offset:
                raise TransientError("not from the middle")
            return self.model.open()

    refresh(web(tmp_path, [Stubborn(breaks=[7 * MiB])]))  # type: ignore[list-item]
    results = [refresh(web(tmp_path, [Stubborn()])).result for _ in range(2)]  # type: ignore[list-item]
    assert results == [Result.FAILED, Result.PUBLISHED]


def test_an_object_that_changed_meanwhile_starts_over(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("m", ONE, breaks=[7 * MiB, 0, 0, 0])]))
    other = Model("m", TWO, revision="v2")
    assert refresh(web(tmp_path, [other], revision="r2")).result is Result.PUBLISHED
    assert other.moved == len(TWO)
    assert read(tmp_path / "web") == {"m": TWO}


def test_another_source_starts_over(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("m", ONE, breaks=[7 * MiB, 0, 0, 0])]))
    other = Model("m", TWO)
    assert refresh(web(tmp_path, [other], source="sha256:other")).result is Result.PUBLISHED
    assert other.moved == len(TWO)


def test_what_a_start_finds_of_a_transfer_stays_and_everything_else_is_swept(tmp_path: Path) -> None:
    the = web(tmp_path, [Model("m", ONE, breaks=[7 * MiB, 0, 0, 0])])
    refresh(the)
    (tmp_path / "web/..refresher/incoming-0000").mkdir()
    left = [path for path in incoming(tmp_path) if path.name != "incoming-0000"]
    cycle.begin(the)
    assert incoming(tmp_path) == left
    cycle.begin(replace(the, source="sha256:other"))
    assert incoming(tmp_path) == []


@pytest.mark.parametrize("spoiled", ["old", "other boot", "garbage", "no journal"])
def test_a_transfer_that_nobody_can_go_on_with_is_swept(tmp_path: Path, spoiled: str) -> None:
    the = web(tmp_path, [Model("m", ONE, breaks=[7 * MiB, 0, 0, 0])])
    refresh(the)
    journal = incoming(tmp_path)[0] / "journal.json"
    match spoiled:
        case "old":
            os.utime(journal, (journal.stat().st_mtime - KEPT_FOR - 9,) * 2)
        case "other boot":
            journal.write_text(
                journal.read_text().replace(Path("/proc/sys/kernel/random/boot_id").read_text()[:8], "0" * 8)
            )
        case "garbage":
            journal.write_text("{")
        case _:
            journal.unlink()
    cycle.begin(the)
    assert incoming(tmp_path) == []


def test_what_was_written_into_meanwhile_is_noticed_by_its_digest(tmp_path: Path) -> None:
    promised = f"sha256:{hashlib.sha256(ONE).hexdigest()}"
    refresh(web(tmp_path, [Model("m", ONE, breaks=[7 * MiB, 0, 0, 0])]))
    part = next(incoming(tmp_path)[0].glob("files/m"))
    with part.open("r+b") as file:
        file.write(b"forged")
    assert refresh(web(tmp_path, [Model("m", ONE, digest=promised)])).result is Result.REJECTED


def test_a_part_that_has_another_name_too_is_not_written_to(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("m", ONE, breaks=[7 * MiB, 0, 0, 0])]))
    os.link(next(incoming(tmp_path)[0].glob("files/m")), tmp_path / "elsewhere")
    whole = Model("m", ONE)
    assert refresh(web(tmp_path, [whole])).result is Result.PUBLISHED
    assert whole.moved == len(ONE)
    assert (tmp_path / "elsewhere").stat().st_size < len(ONE)


def test_what_was_put_in_the_place_of_a_transfer_is_in_nobody_s_way(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("m", ONE, breaks=[7 * MiB, 0, 0, 0])]))
    (left,) = incoming(tmp_path)
    shutil.rmtree(left / "files")
    (left / "files").symlink_to(tmp_path)
    assert refresh(web(tmp_path, [Model("m", ONE)])).result is Result.PUBLISHED
    assert incoming(tmp_path) == []


def test_a_refusal_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    the = web(tmp_path, [Model("m", ONE)], limits=Limits(file=9 * MiB))
    assert refresh(the).result is Result.REJECTED
    assert incoming(tmp_path) == []
    the = replace(asset(tmp_path, Source(), judge=Judge("no")), provider=Models([Model("m", ONE)]))
    assert refresh(the).result is Result.REJECTED
    assert incoming(tmp_path) == []


def test_nobody_else_can_look_at_what_is_not_verified_yet(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("m", ONE, breaks=[7 * MiB, 0, 0, 0])]))
    assert incoming(tmp_path)[0].stat().st_mode & 0o777 == 0o700
    refresh(web(tmp_path, [Model("m", ONE)]))
    assert (tmp_path / "web/..refresher/00000001").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("crc", [zlib.crc32(ONE), 1])
def test_a_checksum_is_checked_over_all_attempts_together(tmp_path: Path, crc: int) -> None:
    refresh(web(tmp_path, [Model("m", ONE, crc=crc, breaks=[7 * MiB, 0, 0, 0])]))
    outcome = refresh(web(tmp_path, [Model("m", ONE, crc=crc)]))
    assert outcome.result is (Result.FAILED if crc == 1 else Result.PUBLISHED)


def test_a_part_whose_checksum_is_wrong_is_not_gone_on_with(tmp_path: Path) -> None:
    for _ in range(2):
        refresh(web(tmp_path, [Model("m", TWO, crc=zlib.crc32(ONE))]))
    whole = Model("m", ONE, crc=zlib.crc32(ONE))
    assert refresh(web(tmp_path, [whole])).result is Result.PUBLISHED
    assert read(tmp_path / "web") == {"m": ONE}


def test_a_new_generation_costs_the_files_that_changed(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE), Model("deep/b", TWO)]))
    second = [Model("a", ONE), Model("deep/b", THREE, revision="v2")]
    outcome = refresh(web(tmp_path, second, revision="r2"))
    assert (outcome.generation, outcome.fetched_bytes) == (2, len(THREE))
    assert [model.moved for model in second] == [0, len(THREE)]
    store = tmp_path / "web/..refresher"
    assert inode(store / "00000001/files/a") == inode(store / "00000002/files/a")
    assert read(tmp_path / "web") == {"a": ONE, "deep/b": THREE}


def test_what_comes_under_another_name_or_revision_is_stored_once(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE)]))
    outcome = refresh(web(tmp_path, [Model("b/c", ONE, revision="v2"), Model("d", TWO)], revision="r2"))
    assert outcome.fetched_bytes == len(ONE) + len(TWO)
    store = tmp_path / "web/..refresher"
    assert inode(store / "00000001/files/a") == inode(store / "00000002/files/b/c")


def test_a_promised_digest_that_is_kept_is_not_fetched(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE)]))
    same = Model("b", ONE, revision="v2", digest=f"sha256:{hashlib.sha256(ONE).hexdigest()}")
    assert refresh(web(tmp_path, [same], revision="r2")).result is Result.PUBLISHED
    assert same.moved == 0


@pytest.mark.parametrize("spoil", ["content", "mode", "gone"])
def test_what_somebody_changed_is_fetched_and_not_linked(tmp_path: Path, spoil: str) -> None:
    refresh(web(tmp_path, [Model("a", ONE), Model("b", TWO)]))
    kept = tmp_path / "web/..refresher/00000001/files/a"
    match spoil:
        case "content":
            with kept.open("r+b") as file:
                file.write(b"forged")
        case "mode":
            kept.chmod(0o666)
        case _:
            kept.unlink()
    again = [Model("a", ONE), Model("b", THREE, revision="v2")]
    assert refresh(web(tmp_path, again, revision="r2")).result is Result.PUBLISHED
    assert again[0].moved == len(ONE)
    assert read(tmp_path / "web") == {"a": ONE, "b": THREE}


def test_another_source_s_revisions_mean_nothing(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE), Model("b", TWO)]))
    other = [Model("a", THREE), Model("b", TWO)]
    assert refresh(web(tmp_path, other, source="sha256:other")).result is Result.PUBLISHED
    assert read(tmp_path / "web") == {"a": THREE, "b": TWO}


def test_other_modes_make_other_files(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE), Model("b", TWO)]))
    again = [Model("a", ONE), Model("b", THREE, revision="v2")]
    refresh(web(tmp_path, again, revision="r2", publish=Publish(mode=0o600)))
    assert (tmp_path / "web/a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "web/..refresher/00000001/files/a").stat().st_mode & 0o777 == 0o644


def test_secrets_are_never_linked(tmp_path: Path) -> None:
    def files() -> list[Model]:
        return [Model("a", ONE[: 2 * MiB], sensitive=True), Model("b", THREE)]

    refresh(web(tmp_path, files()))
    again = files()
    refresh(web(tmp_path, [*again, Model("c", TWO)], revision="r2"))
    assert [model.moved for model in again] == [2 * MiB, 0]


def test_what_is_visible_by_a_link_of_its_own_is_never_linked(tmp_path: Path) -> None:
    one_file = Publish(layout=LayoutName.FILE)
    for number, came in enumerate((ONE, TWO, ONE), 1):
        the = web(tmp_path, [Model("a", came, revision=str(number % 2))], revision=str(number), publish=one_file)
        assert refresh(the).generation == number
        assert (tmp_path / "web/a").read_bytes() == came


def test_a_generation_that_is_pruned_takes_no_link_with_it(tmp_path: Path) -> None:
    for number in range(1, 5):
        the = web(tmp_path, [Model("a", ONE), Model("b", THREE, revision=str(number))], revision=str(number))
        the.provider.files[1].content = content(MiB, seed=number + 10)  # type: ignore[attr-defined]
        assert refresh(the).result is Result.PUBLISHED
        cycle.tidy(the, clock=Time(now=NOON + timedelta(days=9999)))
    assert (tmp_path / "web/a").read_bytes() == ONE


def test_an_earlier_generation_can_be_put_back_while_a_model_is_on_its_way(tmp_path: Path) -> None:
    def come(seed: int) -> Asset:
        return web(tmp_path, [Model("m", content(MiB, seed=seed), revision=str(seed))], revision=str(seed))

    for seed in (1, 2):
        refresh(come(seed))
    the = come(3)

    class Interrupted(Models):
        def fetch(self, held):  # type: ignore[no-untyped-def, override]
            assert rollback.go_back(the, to=1, clock=Time()).outcome.generation == 1
            return super().fetch(held)

    outcome = refresh(replace(the, provider=Interrupted(the.provider.files, "3")))  # type: ignore[attr-defined]
    assert (outcome.result, outcome.generation) == (Result.UNCHANGED, 1)
    assert read(tmp_path / "web") == {"m": content(MiB, seed=1)}
    with opened(the) as place:
        assert place.store.ledger().pinned == 1
    assert refresh(the).result is Result.UNCHANGED


def test_what_another_refresher_published_meanwhile_is_no_failure_if_it_is_the_same(tmp_path: Path) -> None:
    class Interrupted(Models):
        def fetch(self, held):  # type: ignore[no-untyped-def, override]
            assert refresh(web(tmp_path, [Model("m", ONE)])).generation == 1
            return super().fetch(held)

    outcome = refresh(replace(web(tmp_path, []), provider=Interrupted([Model("m", ONE)])))
    assert (outcome.result, outcome.generation) == (Result.UNCHANGED, 1)
    assert incoming(tmp_path) == []


def test_what_was_damaged_meanwhile_is_not_taken_for_held(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("m", ONE)]))

    class Interrupted(Models):
        def fetch(self, held):  # type: ignore[no-untyped-def, override]
            (tmp_path / "web/..refresher/00000001/files/m").unlink()
            assert cycle.begin(the).current is None
            return super().fetch(held)

    the = web(tmp_path, [])
    refreshed = cycle.refresh(replace(the, provider=Interrupted([])), wish=Wish.LOOK, clock=Time())
    assert refreshed.holding is not None
    assert refreshed.holding.current is None


def test_nothing_stays_of_a_transfer_that_nobody_wants_any_more(tmp_path: Path) -> None:
    old = web(tmp_path, [Model("m", ONE)])
    refresh(old)
    broken = web(tmp_path, [Model("m", TWO, revision="v2", breaks=[7 * MiB, 0, 0, 0])], revision="r2")
    refresh(broken)
    assert len(incoming(tmp_path)) == 1
    assert refresh(old).result is Result.UNCHANGED
    assert incoming(tmp_path) == []


def test_nothing_stays_of_a_transfer_while_an_earlier_generation_is_pinned(tmp_path: Path) -> None:
    for seed in (1, 2):
        refresh(web(tmp_path, [Model("m", content(MiB, seed=seed), revision=str(seed))], revision=str(seed)))
    broken = web(tmp_path, [Model("m", ONE, revision="3", breaks=[7 * MiB, 0, 0, 0])], revision="3")
    refresh(broken)
    rollback.go_back(broken, to=1, clock=Time())
    assert len(incoming(tmp_path)) == 1
    assert refresh(broken).result is Result.UNCHANGED
    assert incoming(tmp_path) == []


@pytest.mark.parametrize("revision", [None, 5])
def test_a_plugin_s_own_idea_of_a_revision_is_none(tmp_path: Path, revision: object) -> None:
    the = web(tmp_path, [Model("m", ONE, revision=revision)])  # type: ignore[arg-type]
    assert refresh(the).result is Result.PUBLISHED
    with opened(the) as place:
        assert place.current() is not None


def test_a_source_that_never_stops_is_stopped_where_it_promised_to(tmp_path: Path) -> None:
    class Endless(Model):
        size = MiB  # type: ignore[assignment]

        def open(self, offset: int = 0) -> Stream:
            return self._open(offset, len(self.content))

    endless = Endless("m", ONE)
    assert "were promised" in str(refresh(web(tmp_path, [endless])).error)
    assert endless.moved <= 4 * MiB


def test_few_descriptors_are_enough_for_many_files(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 100, limits[1]))
    try:
        outcome = refresh(web(tmp_path, [Model(str(number), b"x") for number in range(300)]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert outcome.result is Result.PUBLISHED, outcome.error


def test_what_the_app_is_told_meanwhile_is_not_forgotten(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("m", ONE)]))

    class Interrupted(Models):
        def fetch(self, held):  # type: ignore[no-untyped-def, override]
            with opened(the) as place, place.store.locked():
                told = Told(generation=1, at=NOON)
                place.store.remember(place.store.ledger().with_told("app:1", told), fsync=False)
            return super().fetch(held)

    the = web(tmp_path, [], revision="r2")
    assert refresh(replace(the, provider=Interrupted([Model("m", TWO, revision="v2")], "r2"))).generation == 2
    with opened(the) as place:
        assert place.store.ledger().told["app:1"].generation == 1


def test_other_files_are_landed_side_by_side_and_the_first_failure_ends_it(tmp_path: Path) -> None:
    files = [Model(str(number), ONE, delay=0.001) for number in range(4)]
    bad = Model("bad", ONE, trouble=PermanentError("no such file"))
    the = web(tmp_path, [files[0], bad, *files[1:]])
    assert refresh(the).error == "no such file"
    assert sum(model.moved for model in files) < 4 * len(ONE)
    assert all(model.at_once == 0 for model in files)


def test_the_total_is_limited_however_files_come(tmp_path: Path) -> None:
    the = web(tmp_path, [Unmeasured(str(number), THREE) for number in range(5)], limits=Limits(total=3 * MiB))
    outcome = refresh(the)
    assert outcome.result is Result.REJECTED
    assert "limits.total" in str(outcome.error)


def test_what_comes_with_the_answer_needs_no_threads(tmp_path: Path) -> None:
    before = threading.active_count()
    seen: list[int] = []

    class Counting(InlineFile):
        def open(self, offset: int = 0):  # type: ignore[no-untyped-def]
            seen.append(threading.active_count() - before)
            return super().open(offset)

    the = web(tmp_path, [Counting(str(number), b"x") for number in range(5)])  # type: ignore[list-item]
    assert refresh(the).result is Result.PUBLISHED
    assert seen == [0] * 5


def test_a_rejected_lesson_is_learnt_once(tmp_path: Path) -> None:
    the = replace(
        asset(tmp_path, Source(), judge=Judge(trouble=RejectedError("bad"))), provider=Models([Model("m", ONE)])
    )
    refresh(the)
    with opened(the) as place:
        assert len(place.store.ledger().refused) == 1


def packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, inside in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(inside)
            tar.addfile(info, io.BytesIO(inside))
    return made.getvalue()


def test_an_archive_is_replaced_by_the_files_in_it_where_that_is_wanted(tmp_path: Path) -> None:
    files = {"model.bin": ONE, "code/run.py": b"pass"}
    the = web(tmp_path, [Model("fraud/model.tar.gz", packed(files)), Model("README", b"read")])
    assert sorted(read_published(the)) == ["README", "fraud/model.tar.gz"]
    unpacking = replace(the, unpack=True, source="sha256:unpack")
    assert refresh(unpacking).result is Result.PUBLISHED
    assert read(tmp_path / "web") == {"README": b"read", "fraud/model.bin": ONE, "fraud/code/run.py": b"pass"}


def read_published(the: Asset) -> dict[str, bytes]:
    assert refresh(the).result is Result.PUBLISHED
    return read(the.directory)


def test_an_archive_that_breaks_off_goes_on_within_the_fetch(tmp_path: Path) -> None:
    archive = packed({"model.bin": ONE})
    model = Model("m.tar.gz", archive, breaks=[3 * MiB, 3 * MiB], crc=zlib.crc32(archive))
    assert read_published(web(tmp_path, [model], unpack=True)) == {"model.bin": ONE}
    assert model.moved == len(archive)


def test_an_archive_is_checked_as_it_was_promised(tmp_path: Path) -> None:
    archive = packed({"model.bin": ONE})
    wrong = web(tmp_path, [Model("m.tar.gz", archive, digest="sha256:" + "0" * 64)], unpack=True)
    assert "promised digest" in str(refresh(wrong).error)
    damaged = web(tmp_path, [Model("m.tar.gz", archive, crc=1)], unpack=True, revision="r2")
    assert refresh(damaged).error_class == "TransientError"
    assert incoming(tmp_path) == []


def test_no_file_of_an_archive_takes_the_place_of_another(tmp_path: Path) -> None:
    one, other = packed({"a": b"1"}), packed({"a": b"2"})
    both = web(tmp_path, [Model("1.tgz", one), Model("2.tgz", other)], unpack=True)
    assert refresh(both).result is Result.REJECTED
    beside = web(tmp_path, [Model("1.tgz", one), Model("a", b"2")], unpack=True)
    assert refresh(beside).result is Result.REJECTED
    assert not list((tmp_path / "web").glob("[!.]*"))


def test_what_is_unpacked_is_linked_when_it_is_kept(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("1.tgz", packed({"a": ONE, "b": b"1"}))], unpack=True))
    refresh(web(tmp_path, [Model("1.tgz", packed({"a": ONE, "b": b"2"}), revision="v2")], unpack=True, revision="r2"))
    store = tmp_path / "web/..refresher"
    assert inode(store / "00000001/files/a") == inode(store / "00000002/files/a")
