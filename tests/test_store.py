"""The directory in which an asset's generations are kept."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from refresher.contract import StagedFile
from refresher.errors import RejectedError, TransientError
from refresher.ledger import Ledger
from refresher.model import Generation
from refresher.store import RECORD_LIMIT, RESERVE_BYTES, Store, number_in
from refresher.volume import Directory
from tests.fakes.source import NOON


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Directory.at(tmp_path) as directory:
        yield Store(directory)


def test_only_one_refresher_writes_and_the_other_waits_a_bounded_time(store: Store) -> None:
    with store.locked(), pytest.raises(TransientError, match="another refresher"), store.locked(within=0.05):
        pass
    with store.locked(within=0):
        pass


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "device"])
def test_what_somebody_put_where_the_lock_goes_is_removed(store: Store, tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    if kind == "link":
        (tmp_path / "lock").symlink_to(outside)
    elif kind == "fifo":
        os.mkfifo(tmp_path / "lock")
    elif kind == "directory":
        (tmp_path / "lock/deeper").mkdir(parents=True)
    else:
        # A socket stands for every special file: making a device is a right that few have.
        os.mknod(tmp_path / "lock", 0o140600)
    with store.locked():
        assert (tmp_path / "lock").is_file()
        assert not (tmp_path / "lock").is_symlink()
    assert not outside.exists()


def test_a_lock_on_a_file_that_was_swapped_is_no_lock(store: Store, tmp_path: Path) -> None:
    with store.locked():
        (tmp_path / "lock").unlink()
        with store.locked(within=0):
            inode = (tmp_path / "lock").stat().st_ino
        assert (tmp_path / "lock").stat().st_ino == inode


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *(("00000007", 7), ("123456789", 123456789), ("000000007", None), ("00000000", None), ("7", None)),
        *(("\N{ARABIC-INDIC DIGIT SEVEN}" * 8, None), ("9" * 13, None), ("incoming-1", None), ("00000007 ", None)),
    ],
)
def test_only_a_name_that_refresher_gives_is_a_generations(name: str, number: int | None) -> None:
    assert number_in(name) == number


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "huge", "nonsense", "empty"])
@pytest.mark.parametrize("name", ["ledger.json", "00000003/manifest.json"])
def test_a_record_that_cannot_be_read_is_none(store: Store, tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "00000003/files").mkdir(parents=True)
    planted = tmp_path / name
    if kind == "link":
        planted.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(planted)
    elif kind == "directory":
        planted.mkdir()
    elif kind == "huge":
        planted.touch()
        os.truncate(planted, RECORD_LIMIT * 100)
    else:
        planted.write_bytes(b"{" if kind == "nonsense" else b"")
    assert store.ledger() == Ledger(last_generation=3)
    assert store.generation(3) is None


def test_a_directory_where_the_ledger_goes_is_removed(store: Store, tmp_path: Path) -> None:
    (tmp_path / "ledger.json/deeper").mkdir(parents=True)
    store.remember(Ledger(last_generation=4), fsync=True)
    assert store.ledger().last_generation == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.json", "reserve"]
    assert (tmp_path / "reserve").stat().st_size == RESERVE_BYTES


def test_what_was_being_staged_is_gone_whatever_happens(store: Store, tmp_path: Path) -> None:
    with store.incoming() as incoming:
        os.close(incoming.files.create("half"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), store.incoming():
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_takes_leftovers_and_nothing_else(store: Store, tmp_path: Path) -> None:
    for name in ("incoming-1/files", "..0123", "00000001/files", "notes"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "..link").symlink_to("notes")
    store.sweep(source="s")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001", "notes"]


def test_a_moment_of_retirement_that_is_still_to_come_is_now(store: Store, tmp_path: Path) -> None:
    (tmp_path / "00000001").mkdir()
    os.utime(tmp_path / "00000001", (2**33, 2**33))
    assert store.retired_at(1, now=NOON) == NOON
    assert store.retired_at(1, now=NOON + timedelta(minutes=1)) == NOON
    assert store.retired_at(9, now=NOON).year == 1970


def generation(files: int) -> Generation:
    tiny = StagedFile(size=1, digest=f"sha256:{'0' * 64}", sensitive=False)
    return Generation(
        asset="web",
        number=1,
        revision="r",
        digest="d",
        files={f"{number:06d}": tiny for number in range(files)},
        source="s",
        checks="c",
        minted=False,
        fetched_at=NOON,
        published_at=NOON,
    )


def test_what_is_kept_can_be_read(store: Store) -> None:
    with store.incoming() as incoming:
        store.keep(incoming, generation(10_000), fsync=False)
    assert store.generation(1) == generation(10_000)


def test_a_set_whose_manifest_could_never_be_read_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"110000 files .* limits\.files"), store.incoming() as incoming:
        store.keep(incoming, generation(110_000), fsync=False)
    assert list(tmp_path.iterdir()) == []
