"""What somebody else changed in the volume is noticed and repaired, or fetched again."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from refresher.model import LayoutName, Publish
from tests.fakes.models import Model, Models
from tests.fakes.source import App, Source, Time, asset, read
from tests.large_files.assets import ONE, THREE
from tests.test_keeper import kept

LAYOUTS = list(LayoutName)


def shown(volume: Path, layout: LayoutName, number: int) -> Path:
    return volume / "web" / str(number) if layout is LayoutName.VERSIONS else volume / "web"


def test_nothing_happens_where_nothing_was_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeper, clockwork, noted = kept(asset(tmp_path, Source()), Time())
    clockwork.turn(seconds=0)
    keeper.look_over()
    assert caplog.text == ""
    assert len(noted.outcomes) == 1


def test_a_removed_link_comes_back_without_a_fetch(tmp_path: Path) -> None:
    source = Source(files={"a": b"1", "b": b"2"})
    keeper, clockwork, _ = kept(asset(tmp_path, source), Time())
    clockwork.turn(seconds=0)
    for name in ("a", "..data"):
        (tmp_path / "web" / name).unlink()
        keeper.look_over()
        assert read(tmp_path / "web") == {"a": b"1", "b": b"2"}
    assert len(source.shown) == 1


def test_a_changed_mode_is_set_back_without_a_fetch(tmp_path: Path) -> None:
    source = Source(sensitive=True)
    keeper, clockwork, _ = kept(asset(tmp_path, source), Time())
    clockwork.turn(seconds=0)
    (tmp_path / "web/app.conf").chmod(0o666)
    keeper.look_over()
    assert stat.S_IMODE((tmp_path / "web/app.conf").stat().st_mode) == 0o640
    assert len(source.shown) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_changed_content_is_fetched_again_as_a_new_generation_and_told(tmp_path: Path, layout: LayoutName) -> None:
    source, app, clock = Source(), App(), Time()
    keeper, clockwork, _ = kept(asset(tmp_path, source, app=app, publish=Publish(layout=layout)), clock)
    clockwork.turn(seconds=0)
    (shown(tmp_path, layout, 1) / "app.conf").write_bytes(b"evil")
    keeper.look_over()
    assert keeper.state().generation is None
    assert not keeper.state().ready
    clockwork.turn(seconds=2)
    assert (shown(tmp_path, layout, 2) / "app.conf").read_bytes() == b"one"
    assert [change.generation for change in app.heard] == [1, 2]
    assert source.shown[-1] is None


def test_what_is_damaged_again_and_again_is_made_anew_at_most_once_in_min_interval(tmp_path: Path) -> None:
    source, clock = Source(minted=True), Time()
    keeper, clockwork, noted = kept(asset(tmp_path, source), clock)
    clockwork.turn(seconds=0)
    for _ in range(20):
        (tmp_path / "web/app.conf").write_bytes(b"evil")
        keeper.look_over()
        clockwork.turn(seconds=0.25)
    assert len(noted.outcomes) <= 6


def test_somebody_elses_files_are_left_alone(tmp_path: Path) -> None:
    keeper, clockwork, _ = kept(asset(tmp_path, Source()), Time())
    clockwork.turn(seconds=0)
    (tmp_path / "web/mine").write_text("mine")
    (tmp_path / "web/app.conf").unlink()
    keeper.look_over()
    assert (tmp_path / "web/mine").read_text() == "mine"
    assert read(tmp_path / "web")["app.conf"] == b"one"


def test_links_between_generations_are_no_drift(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Models([Model("a", ONE)], "r1")
    one = replace(asset(tmp_path, Source(), publish=Publish(keep=1)), provider=source)
    keeper, clockwork, _ = kept(one, Time())
    clockwork.turn(seconds=0)
    keeper.look_over()
    for number, other in enumerate((THREE, THREE[1:]), 2):
        source.revision = f"r{number}"
        source.files = [Model("a", ONE), Model("b", other, revision=source.revision)]
        keeper.look_now()
        clockwork.turn(seconds=0)
        assert keeper.state().generation == number
        keeper.look_over()
        clockwork.turn(minutes=3)  # the one before is removed, and its link with it
        keeper.look_over()
    assert (tmp_path / "web/a").stat().st_nlink == 1
    assert "changed by somebody" not in caplog.text


def test_a_rollback_is_no_drift(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    keeper, clockwork, _ = kept(asset(tmp_path, source), Time())
    clockwork.turn(seconds=0)
    source.put("r2", app_conf=b"two")
    keeper.look_now()
    clockwork.turn(seconds=0)
    keeper.go_back(to=1)
    clockwork.turn(seconds=0)
    keeper.look_over()
    assert "changed by somebody" not in caplog.text
