"""How a generation becomes visible, layout by layout."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from refresher import cycle
from refresher.model import Asset, LayoutName, Outcome, Publish, Result, Wish
from tests.crash.scenes import published, seen
from tests.fakes.source import Source, Time, asset

ONE, TWO, THREE = ({"app.conf": content} for content in (b"one", b"two", b"three"))
LATER = Time(now=Time().now + timedelta(days=900))


def web(volume: Path, layout: LayoutName, **publish: object) -> Asset:
    return asset(volume, Source(), publish=Publish(layout=layout, **publish))  # type: ignore[arg-type]


def inodes(directory: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in directory.iterdir()}


def outcome(asset: Asset, files: dict[str, bytes]) -> Outcome:
    source = Source(files=files, revision="other")
    return cycle.refresh(replace(asset, provider=source), wish=Wish.RENEW, clock=Time()).outcome


@pytest.fixture(params=list(LayoutName))
def each(request: pytest.FixtureRequest, tmp_path: Path) -> Asset:
    return web(tmp_path, request.param)


def test_showing_what_is_shown_wakes_nobody_who_watches(each: Asset) -> None:
    published(each, ONE)
    before = inodes(each.directory), inodes(each.directory.parent)
    cycle.begin(each)
    cycle.tidy(each, clock=Time())
    assert (inodes(each.directory), inodes(each.directory.parent)) == before


def test_a_nudge_renames_the_unchanged_links_too(tmp_path: Path) -> None:
    files = {"a": b"1", "b": b"1"}
    for nudge, moved in ((False, {"..data"}), (True, {"..data", "a", "b"})):
        volume = tmp_path / str(nudge)
        volume.mkdir()
        asset = web(volume, LayoutName.KUBERNETES, nudge=nudge)
        published(asset, files)
        before = inodes(asset.directory)
        published(asset, {"a": b"2", "b": b"2"})
        after = inodes(asset.directory)
        assert {name for name in after if after[name] != before[name] and name != "..refresher"} == moved


def test_links_are_relative_and_hold_wherever_the_volume_is_mounted(tmp_path: Path) -> None:
    for layout in LayoutName:
        (tmp_path / layout).mkdir()
        published(web(tmp_path / layout, layout), ONE)
        moved = (tmp_path / layout).rename(tmp_path / f"{layout}-mounted-elsewhere")
        assert seen(web(moved, layout)) == ONE


@pytest.mark.parametrize("there", ["file", "directory"])
def test_what_stands_where_the_link_goes_is_refused_and_left_alone(tmp_path: Path, there: str) -> None:
    mine = tmp_path / "web"
    mine.touch() if there == "file" else (mine / "mine").mkdir(parents=True)
    refused = outcome(web(tmp_path, LayoutName.LINK), ONE)
    assert "is in the way" in str(refused.error)
    assert mine.is_file() == (there == "file")


def test_the_layout_file_shows_a_real_file_and_only_one(tmp_path: Path) -> None:
    asset = web(tmp_path, LayoutName.FILE)
    published(asset, ONE)
    assert not (asset.directory / "app.conf").is_symlink()
    for files in ({"a": b"1", "b": b"1"}, {"a/b": b"1"}):
        assert "shows one file" in str(outcome(asset, files).error)
    assert seen(asset) == ONE
    (asset.directory / "sub").mkdir()
    assert "is a directory" in str(outcome(asset, {"sub": b"1"}).error)


def test_a_file_of_another_name_takes_the_old_one_away_and_leaves_what_is_not_ours(tmp_path: Path) -> None:
    asset = web(tmp_path, LayoutName.FILE)
    published(asset, ONE)
    (asset.directory / "theirs").write_bytes(b"theirs")
    published(asset, {"web.conf": b"1"})
    assert seen(asset) == {"web.conf": b"1", "theirs": b"theirs"}
    cycle.go_back(asset, to=None, clock=Time())
    assert seen(asset) == ONE | {"theirs": b"theirs"}


def test_a_rollback_takes_higher_numbers_away_and_the_next_number_is_higher_still(tmp_path: Path) -> None:
    asset = web(tmp_path, LayoutName.VERSIONS)
    for files in (ONE, TWO):
        published(asset, files)
    assert sorted(path.name for path in asset.directory.glob("[0-9]")) == ["1", "2"]
    cycle.go_back(asset, to=1, clock=Time())
    assert sorted(path.name for path in asset.directory.glob("[0-9]")) == ["1"]
    cycle.unpin(asset)
    published(asset, THREE)
    assert sorted(path.name for path in asset.directory.glob("[0-9]")) == ["1", "3"]
    cycle.go_back(asset, to=2, clock=Time())
    assert seen(asset) == TWO
    cycle.tidy(asset, clock=LATER)
    assert sorted(path.name for path in asset.directory.glob("[0-9]")) == ["2"]
    assert cycle.go_back(asset, to=3, clock=Time()).outcome.result is Result.ROLLED_BACK


def test_numbers_that_were_there_before_are_counted_from_and_left_alone(tmp_path: Path) -> None:
    asset = web(tmp_path, LayoutName.VERSIONS)
    for number in ("1", "41"):
        (asset.directory / number).mkdir(parents=True)
        (asset.directory / number / "theirs").touch()
    published(asset, ONE)
    published(asset, TWO)
    cycle.tidy(asset, clock=LATER)
    cycle.begin(asset)
    assert sorted(int(path.name) for path in asset.directory.glob("[0-9]*")) == [1, 41, 43]
    assert seen(asset) == TWO
    assert (asset.directory / "41/theirs").exists()


def test_a_number_that_leaves_none_above_it_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    asset = web(tmp_path, LayoutName.VERSIONS)
    (asset.directory / "999999999999").mkdir(parents=True)
    assert f"{asset.directory} shows a number that refresher never gave" in str(outcome(asset, ONE).error)
