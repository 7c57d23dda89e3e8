import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import urllib3

from bench.counted import counted
from bench.race import BARE, ONCE, RESIDENT, Race, s3_goals, web_goals
from bench.racers import INCOMING, PUBLISHED, Racer, Spent
from bench.sources import LIST, Load
from bench.table import Row, columns
from bench.transfers import QUICK, Sizes
from refresher.demo.caddy import Caddy

LAUNCHER_MIB = 20
"""More than a bare interpreter has in memory, and a quarter of what a test process has."""


@pytest.mark.parametrize(
    ("goal", "ours", "mark"),
    [
        ({"share": 1.2}, 12, "reached"),
        ({"share": 1.2}, 13, "MISSED"),
        ({"least": 1.1}, 11, "reached"),
        ({"least": 1.1}, 10, "MISSED"),
        ({"above": 5}, 15, "reached"),
        ({"above": 5}, 16, "MISSED"),
        ({"limit": 10}, 10, "reached"),
        ({"limit": 10}, 11, "MISSED"),
    ],
)
def test_a_goal_is_judged_by_the_medians(goal: Mapping[str, float], ours: float, mark: str) -> None:
    row = Row(what="a look", unit="ms", ours=[0, ours, 99], theirs=[1, 10, 99], **goal)
    assert row.goal.endswith(f"  {mark}")


BIG, SMALL = Sizes().loads[0], Sizes().loads[2]
PEAK = 88.0


def raced(load: Load, server: str, **walls: float) -> Race:
    """A race of one round, by the seconds that each took."""
    race = Race(server, load)
    for name, wall in {ONCE: 2.0, RESIDENT: 2.0, **walls}.items():
        race.note(name, Spent(wall, 1.0, PEAK))
    return race


def verdicts(rows: Iterable[Row]) -> list[str]:
    """What was to be reached beside whom, and whether it was."""
    return [f"{row.what.partition(', ')[2]}: {row.goal}" for row in rows]


@pytest.mark.parametrize(("rclone", "mark"), [(2.21, "reached"), (2.19, "MISSED")])
def test_a_big_file_from_a_web_server_is_judged_beside_rclone_and_shown_beside_curl(rclone: float, mark: str) -> None:
    race = raced(BIG, "nginx", curl=5.0, rclone=rclone)
    beside_rclone, beside_curl, peak = web_goals(race)
    assert beside_rclone.what == f"{BIG.shown} from nginx, once, beside rclone"
    assert (beside_rclone.goal, beside_curl.goal, peak.goal) == (f">= 1.1 x  {mark}", "", "<= 120 MiB  reached")
    assert beside_curl.ratio == pytest.approx(2.5)


def test_where_there_is_no_curl_nothing_is_shown_of_it() -> None:
    assert verdicts(web_goals(raced(BIG, "Caddy", rclone=4.0))) == [
        "once, beside rclone: >= 1.1 x  reached",
        "peak RSS of the sidecar: <= 120 MiB  reached",
    ]


def test_each_goal_from_s3_is_judged_beside_its_own_peer() -> None:
    big = raced(BIG, "SeaweedFS", **{"rclone": 2.3, "s5cmd": 2.5, f"s5cmd, {BARE}": 1.3})
    small = raced(SMALL, "SeaweedFS", **{"s5cmd": 1.1, "aws s3 cp": 3.9})
    assert verdicts(s3_goals(big, small)) == [
        "once, beside rclone: >= 1.1 x  reached",
        "once, beside s5cmd: >= 1.3 x  MISSED",
        f"once, beside s5cmd, {BARE}: >= 0.7 x  MISSED",
        "peak RSS of the sidecar: <= 120 MiB  reached",
        "once, beside s5cmd: >= 0.5 x  reached",
        "once, beside aws s3 cp: >= 2 x  MISSED",
    ]


def test_speeds_are_of_all_that_is_moved() -> None:
    assert raced(BIG, "Caddy").speed(ONCE) == [1024.0]
    assert raced(SMALL, "Caddy").files_a_second(ONCE) == [500.0]


def test_a_quick_run_has_less_of_everything() -> None:
    assert all(quick.mib < whole.mib for quick, whole in zip(QUICK.loads, Sizes().loads, strict=True))


def test_a_table_has_its_texts_below_each_other() -> None:
    lines = columns([("tool", "s"), ("refresher", "1"), ("x", "2")]).splitlines()
    assert lines == ["tool       s", "------------", "refresher  1", "x          2"]


def test_every_request_on_a_connection_that_is_kept_is_counted(caddy: Caddy) -> None:
    (caddy.root / "counted.txt").write_text("content")
    with counted(caddy.url) as way, urllib3.PoolManager() as pool:
        bodies = [pool.request("GET", f"{way.url}/counted.txt").data for _ in range(3)]
        assert (bodies, way.requests) == ([b"content"] * 3, 3)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Three files with their list in `load` of the test's directory."""
    load = Load(name="load", count=3, size=1000)
    load.make(tmp_path)
    return load


@pytest.fixture
def copying(tmp_path: Path, load: Load) -> Racer:
    return Racer(name="cp", argv=["cp", "-r", f"{tmp_path / load.name}/.", INCOMING])


def surroundings(tmp_path: Path, load: Load) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LIST": str(tmp_path / load.name / LIST)}


def test_what_a_tool_needs_does_not_include_what_the_benchmark_needs(
    tmp_path: Path, load: Load, copying: Racer
) -> None:
    assert 0 < copying.run(tmp_path, surroundings(tmp_path, load)).rss < LAUNCHER_MIB


def test_a_completed_tool_leaves_the_files_in_place(tmp_path: Path, load: Load, copying: Racer) -> None:
    copying.completed().run(tmp_path, surroundings(tmp_path, load))
    assert {file.name for file in (tmp_path / PUBLISHED).iterdir()} == {*load.files, LIST}


def test_a_completed_tool_fails_on_a_file_that_differs_from_the_list(
    tmp_path: Path, load: Load, copying: Racer
) -> None:
    (tmp_path / load.name / load.files[1]).write_bytes(b"damaged")
    with pytest.raises(RuntimeError, match="cp ends with 1"):
        copying.completed().run(tmp_path, surroundings(tmp_path, load))
    assert not (tmp_path / PUBLISHED).exists()
