"""Publishing beside somebody who can write into the volume too."""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from refresher import cycle
from refresher.errors import RejectedError, TransientError
from refresher.layouts import KubernetesLayout
from refresher.model import Asset, Generation, LayoutName, Outcome, Publish, Result, StoreName, Wish
from refresher.place import Place, opened
from refresher.publish import show
from tests.crash.kills import leftovers
from tests.crash.scenes import seen
from tests.descriptors import descriptors
from tests.fakes.source import Judge, Source, Time, asset

ONE, TWO = {"app.conf": b"one"}, {"app.conf": b"two"}


def publish(web: Asset, files: dict[str, bytes]) -> Outcome:
    source = Source(files=files, revision=str(sorted(files)) + str(sorted(files.values())))
    return cycle.refresh(replace(web, provider=source), wish=Wish.ANEW, clock=Time()).outcome


def published(web: Asset, files: dict[str, bytes]) -> None:
    outcome = publish(web, files)
    assert outcome.result is Result.PUBLISHED, outcome
    assert seen(web) == files


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that isn't ours, with a file of the names that we use."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "00000001/files").mkdir(parents=True)
    for name in ("app.conf", "ledger.json", "lock", "reserve", "00000001/manifest.json", "00000001/files/app.conf"):
        (elsewhere / name).write_text("theirs")
        (elsewhere / name).chmod(0o604)
    return elsewhere


def state(directory: Path) -> list[tuple[str, int, int, int]]:
    facts = [(path, path.lstat()) for path in (directory, *sorted(directory.rglob("*")))]
    return [(str(path), status.st_mode, status.st_ino, status.st_mtime_ns) for path, status in facts]


def link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def link_to_file(path: Path, outside: Path) -> None:
    path.symlink_to(outside / "app.conf")


def hard_link(path: Path, outside: Path) -> None:
    path.hardlink_to(outside / "app.conf")


def fifo(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def directory(path: Path, outside: Path) -> None:
    (path / "deeper").mkdir(parents=True)
    (path / "deeper/link").symlink_to(outside)


def socket(path: Path, outside: Path) -> None:
    os.mknod(path, 0o140600)


PLANTS = [link, link_to_file, hard_link, fifo, directory, socket]
NAMES = {
    LayoutName.KUBERNETES: ["..data", "..refresher", "..other"],
    LayoutName.LINK: ["../..web"],
    LayoutName.FILE: ["../..web"],
    LayoutName.VERSIONS: ["..refresher", "1", "00000001"],
}
INSIDE = ["lock", "ledger.json", "reserve", "00000001", "00000002", "incoming-1", "..1", "00000001/manifest.json"]
INSIDE += ["00000001/files", "00000001/files/app.conf"]


def plant(path: Path, how: Callable[[Path, Path], None], outside: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rename(path.parent / f"stolen-{path.name}")
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    how(path, outside)


@pytest.mark.parametrize("how", PLANTS)
@pytest.mark.parametrize(("layout", "name"), [(layout, name) for layout, names in NAMES.items() for name in names])
def test_what_is_planted_before_the_first_publish_leads_nowhere(
    tmp_path: Path, outside: Path, layout: LayoutName, name: str, how: Callable[[Path, Path], None]
) -> None:
    volume = tmp_path / "volume"
    web = asset(volume, Source(), publish=Publish(layout=layout))
    (volume / "web" if layout is not LayoutName.LINK else volume).mkdir(parents=True)
    plant(Path(os.path.normpath(volume / "web" / name)), how, outside)
    before = state(outside)
    cycle.begin(web)
    published(web, ONE)
    published(web, TWO)
    assert state(outside) == before


@pytest.mark.parametrize("how", PLANTS)
@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("layout", LayoutName)
def test_what_is_planted_between_two_publishes_leads_nowhere(
    tmp_path: Path, outside: Path, layout: LayoutName, name: str, how: Callable[[Path, Path], None]
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    web = asset(volume, Source(), publish=Publish(layout=layout))
    published(web, ONE)
    store = volume / "..web" if layout in {LayoutName.LINK, LayoutName.FILE} else volume / "web/..refresher"
    plant(store / name, how, outside)
    before = state(outside)
    cycle.tidy(web, clock=Time())
    published(web, TWO)
    assert cycle.begin(web).current is not None
    cycle.tidy(web, clock=Time(now=Time().now + timedelta(days=9000)))
    published(web, {"app.conf": b"three"})
    assert state(outside) == before


def test_a_swapped_directory_of_the_asset_is_refused_and_left_alone(tmp_path: Path, outside: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    web = asset(volume, Source())
    published(web, ONE)
    (volume / "web").rename(volume / "stolen")
    (volume / "web").symlink_to(outside)
    before = state(outside)
    outcome = publish(web, TWO)
    assert outcome.error is not None
    assert "a link or file stands where a directory has to be" in outcome.error
    assert state(outside) == before


def test_everything_that_was_removed_is_made_again(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    published(web, ONE)
    (tmp_path / "web/..refresher").rename(tmp_path / "stolen")
    assert cycle.begin(web).current is None
    outcome = publish(web, ONE)
    # Numbers only rise, though all memory is lost: the link still says which was the last.
    assert (outcome.result, outcome.generation) == (Result.PUBLISHED, 2)
    assert seen(web) == ONE


@pytest.mark.parametrize("umask", [0o077, 0o000, 0o027])
@pytest.mark.parametrize("layout", LayoutName)
def test_modes_do_not_depend_on_the_umask(tmp_path: Path, umask: int, layout: LayoutName) -> None:
    web = asset(tmp_path, Source(), publish=Publish(layout=layout), directory=tmp_path / "a/b/web")
    files = {"key": b"-----BEGIN PRIVATE KEY-----\n"} if layout is LayoutName.FILE else {"deep/er/x": b"x", "y": b"y"}
    before = os.umask(umask)
    try:
        published(web, files)
    finally:
        os.umask(before)
    modes = {
        path.name: oct(stat.S_IMODE(path.lstat().st_mode)) for path in tmp_path.rglob("*") if not path.is_symlink()
    }
    private = {"ledger.json": "0o600", "lock": "0o600", "reserve": "0o600", "key": "0o640"}
    public = {"manifest.json": "0o644", "x": "0o644", "y": "0o644"}
    assert modes == {name: (private | public).get(name, "0o755") for name in modes}


def test_the_group_of_the_volume_reaches_every_file(tmp_path: Path) -> None:
    group = 12345 if os.geteuid() == 0 else os.getgid()
    os.chown(tmp_path, -1, group)
    tmp_path.chmod(0o2775)
    web = asset(tmp_path, Source())
    published(web, {"deep/key": b"-----BEGIN PRIVATE KEY-----\n"})
    assert {path.lstat().st_gid for path in tmp_path.rglob("*")} == {group}


@pytest.mark.parametrize("layout", LayoutName)
def test_no_descriptor_is_left_open(tmp_path: Path, layout: LayoutName) -> None:
    judge = Judge()
    web = asset(tmp_path, Source(), judge=judge, publish=Publish(layout=layout))
    broken = [RejectedError("no"), TransientError("away"), ZeroDivisionError("bug"), OSError("bug")]
    before = descriptors()
    for number in range(20):
        assert publish(web, {"app.conf": b"%d" % number}).result is Result.PUBLISHED
        judge.reason = "bad"
        assert publish(web, {"app.conf": b"bad %d" % number}).result is Result.REJECTED
        judge.reason = None
        trouble = replace(web, provider=Source(trouble=broken[number % 4]))
        assert cycle.refresh(trouble, wish=Wish.ANEW, clock=Time()).outcome.result in {Result.FAILED, Result.REJECTED}
        assert publish(web, {"../x": b"x"}).result is Result.REJECTED
        cycle.begin(web)
        cycle.tidy(web, clock=Time())
    (tmp_path / "file").touch()
    assert publish(replace(web, directory=tmp_path / "file/web"), ONE).result is Result.FAILED
    assert descriptors() <= before


def test_a_set_that_cannot_be_shown_leaves_nothing_behind(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    published(web, ONE)
    (tmp_path / "web/new.conf").mkdir()
    for _ in range(3):
        assert publish(web, {"app.conf": b"two", "new.conf": b"x"}).result is Result.FAILED
    assert seen(web) == ONE
    assert leftovers(tmp_path) == []
    assert [path.name for path in (tmp_path / "web/..refresher").glob("0*")] == ["00000001"]


def test_a_thousand_nested_files_are_one_generation(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    files = {f"{number % 10}/{number % 7}/{number}": b"%d" % number for number in range(1000)}
    published(web, files)
    published(web, {name: content + b"!" for name, content in files.items()})
    published(web, {name: files[name] for name in list(files)[:500]})


@pytest.mark.parametrize("layout", LayoutName)
def test_a_store_of_the_volume_keeps_generations_out_of_the_directory(tmp_path: Path, layout: LayoutName) -> None:
    web = asset(tmp_path, Source(), publish=Publish(layout=layout, store=StoreName.VOLUME))
    published(web, ONE)
    published(web, TWO)
    assert (tmp_path / "..refresher/web/00000002/manifest.json").is_file()
    inside = {path.name for path in (tmp_path / "web").iterdir()}
    assert inside <= {"app.conf", "..data", "1", "2"}
    assert cycle.begin(web).current is not None


class DiesAfterTheSwap(KubernetesLayout):
    """Stands for a kill at the latest moment of showing a generation."""

    def show(self, generation: Generation) -> None:
        super().show(generation)
        raise KeyboardInterrupt


def test_the_grace_of_what_readers_left_counts_from_the_swap_though_a_crash_came_at_once(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    published(web, ONE)
    published(web, TWO)
    swapped_at = Time().now + timedelta(days=3)
    with opened(web) as place, place.store.locked():
        first = place.store.generation(1)
        assert first is not None
        assert isinstance(place.layout, KubernetesLayout)
        dying = DiesAfterTheSwap(place.layout.directory, place.store, nudge=False, fsync=False)
        with pytest.raises(KeyboardInterrupt):
            show(first, Place(place.store, dying), now=swapped_at)
        assert place.store.retired_at(2, now=swapped_at + timedelta(days=1)) == swapped_at
    assert seen(web) == ONE
