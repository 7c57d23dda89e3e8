"""What came before isn't fetched again: the next attempt goes on where one broke off."""

import hashlib
import os
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from refresher import cycle
from refresher.errors import StartOverError, TransientError
from refresher.incoming import KEPT_FOR
from refresher.model import Limits, Result
from tests.fakes.models import MiB, Model, Models, Stream
from tests.fakes.source import Judge, Source, asset, read
from tests.large_files.assets import ONE, THREE, TWO, incoming, refresh, web


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
    results = [refresh(web(tmp_path, [Model("m", ONE, digest=promised)])).result for _ in range(2)]
    assert results == [Result.FAILED, Result.PUBLISHED]


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
