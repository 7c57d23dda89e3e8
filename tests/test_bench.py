import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import urllib3

from bench.counted import counted
from bench.racers import INCOMING, PUBLISHED, Racer
from bench.sources import LIST, Load
from bench.table import Row, columns
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
