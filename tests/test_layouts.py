"""How a generation becomes visible, layout by layout."""

import re
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from refresher import cycle, rollback
from refresher.contract import Candidate, Finding
from refresher.model import Asset, LayoutName, NamedVerifier, Outcome, Publish, Result, StoreName, Wish
from refresher.place import store_path
from tests.crash.scenes import published, seen
from tests.fakes.source import Judge, Source, Time, asset

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


@pytest.mark.parametrize("store", list(StoreName))
@pytest.mark.parametrize("layout", list(LayoutName))
def test_generations_are_kept_where_the_place_says(tmp_path: Path, layout: LayoutName, store: StoreName) -> None:
    kept = web(tmp_path, layout, store=store)
    published(kept, ONE)
    assert {manifest.parents[1] for manifest in tmp_path.rglob("manifest.json")} == {store_path(kept)}


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
    rollback.go_back(asset, to=None, clock=Time())
    assert seen(asset) == ONE | {"theirs": b"theirs"}


def test_a_rollback_takes_higher_numbers_away_and_the_next_number_is_higher_still(tmp_path: Path) -> None:
    asset = web(tmp_path, LayoutName.VERSIONS)
    for files in (ONE, TWO):
        published(asset, files)
    assert sorted(path.name for path in asset.directory.glob("[0-9]")) == ["1", "2"]
    rollback.go_back(asset, to=1, clock=Time())
    assert sorted(path.name for path in asset.directory.glob("[0-9]")) == ["1"]
    rollback.unpin(asset)
    published(asset, THREE)
    assert sorted(path.name for path in asset.directory.glob("[0-9]")) == ["1", "3"]
    rollback.go_back(asset, to=2, clock=Time())
    assert seen(asset) == TWO
    cycle.tidy(asset, clock=LATER)
    assert sorted(path.name for path in asset.directory.glob("[0-9]")) == ["2"]
    assert rollback.go_back(asset, to=3, clock=Time()).outcome.result is Result.ROLLED_BACK


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


def tensorflow_serving(directory: Path) -> list[int]:
    """Its versions: every child whose name C's strtoll takes whole (`file_system_storage_path_source.cc`)."""
    return sorted(int(path.name) for path in directory.iterdir() if re.fullmatch(r"\s*[+-]?[0-9]+\s*", path.name))


def triton(directory: Path) -> list[int]:
    """Its versions: directories of digits that begin with no zero (its `model_repository.md`)."""
    names = (path.name for path in directory.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch(r"[1-9][0-9]*", name))


def last_modified(directory: Path) -> int:
    """Whether a model has to be loaded anew: the newest change of anything in it (Triton's `ModelTimestamp`)."""
    return max(path.lstat().st_mtime_ns for path in (directory, *directory.rglob("*")))


def versions(asset: Asset) -> list[int]:
    found = tensorflow_serving(asset.directory)
    assert found == triton(asset.directory)
    return found


@pytest.fixture(params=list(StoreName))
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Asset:
    return web(tmp_path, LayoutName.VERSIONS, store=request.param, keep=3)


def test_model_servers_see_the_newest_version_and_for_its_grace_the_one_before(served: Asset) -> None:
    for files in (ONE, TWO, THREE):
        published(served, files)
    assert versions(served) == [1, 2, 3]
    cycle.tidy(served, clock=Time())
    assert versions(served) == [1, 2, 3]
    cycle.tidy(served, clock=LATER)
    assert versions(served) == [3]


def test_what_is_kept_out_of_sight_comes_back_as_it_was_for_a_reader_of_another_user(served: Asset) -> None:
    for files in (ONE, TWO):
        published(served, files)
    cycle.tidy(served, clock=LATER)
    assert rollback.go_back(served, to=1, clock=Time()).outcome.result is Result.ROLLED_BACK
    assert versions(served) == [1]
    assert stat.S_IMODE((served.directory / "1").stat().st_mode) == 0o755
    assert seen(served) == ONE


def test_a_version_that_is_on_its_way_or_refused_is_never_in_sight(served: Asset) -> None:
    published(served, ONE)

    class Looking(Judge):
        def verify(self, candidate: Candidate) -> Finding:
            self.seen.extend(map(str, versions(served)))
            return super().verify(candidate)

    judge = Looking(reason="broken")
    refused = outcome(replace(served, verifiers=(NamedVerifier(name="judge", verifier=judge),)), TWO)
    assert (refused.result, judge.seen) == (Result.REJECTED, ["1", "app.conf"])
    assert versions(served) == [1]


def test_a_configuration_of_the_server_s_beside_the_versions_is_left_alone(served: Asset) -> None:
    served.directory.mkdir(parents=True)
    (served.directory / "config.pbtxt").write_text('backend: "onnxruntime"')
    for files in (ONE, TWO):
        published(served, files)
    rollback.go_back(served, to=1, clock=Time())
    cycle.tidy(served, clock=LATER)
    cycle.begin(served)
    assert (served.directory / "config.pbtxt").read_text() == 'backend: "onnxruntime"'
    assert versions(served) == [1]


def test_with_the_store_in_the_volume_a_model_changes_only_when_a_version_comes_or_goes(tmp_path: Path) -> None:
    asset = web(tmp_path, LayoutName.VERSIONS, store=StoreName.VOLUME)
    published(asset, ONE)
    assert [path.name for path in asset.directory.iterdir()] == ["1"]
    before = last_modified(asset.directory)
    judge = NamedVerifier(name="judge", verifier=Judge(reason="broken"))
    assert outcome(replace(asset, verifiers=(judge,)), THREE).result is Result.REJECTED
    cycle.begin(asset)
    cycle.tidy(asset, clock=LATER)
    assert last_modified(asset.directory) == before
    published(asset, TWO)
    assert last_modified(asset.directory) > before
