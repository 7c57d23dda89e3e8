"""What a rename puts on show is on the disk before: read from a trace of each step."""

import subprocess
import sys
from pathlib import Path

import pytest

from refresher.model import LayoutName
from tests.crash.scenes import LINKED, scenes, web
from tests.crash.step import BEGIN
from tests.crash.trace import CALLS, audit
from tests.fakes.source import App

STEPS = [
    (layout, scene)
    for layout in LayoutName
    for scene in scenes(layout)
    if scene not in {"tidy", "recovery"} and not (layout is LayoutName.LINK and scene == "removed")
]
FORGETTABLE = [
    f"{store}/{name}" for store in ("web/..refresher", "..web") for name in ("lock", "ledger.json", "reserve")
]
"""Their loss costs a repeated telling; a lock is the kernel's, and the reserve is made again."""


def traced(volume: Path, layout: LayoutName, scene: str) -> list[str]:
    scenes(layout)[scene].prepare(web(volume, layout, App()))
    log = volume.parent / "trace"
    strace = ["strace", "-f", "-y", "-s", "0", "-e", f"trace={CALLS}", "-o", str(log)]
    step = [sys.executable, "-m", "tests.crash.step", layout, scene, str(volume)]
    ran = subprocess.run([*strace, *step], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return log.read_text().splitlines()


def findings(log: list[str], volume: Path) -> list[str]:
    found = audit(log, after=BEGIN, root=str(volume), forgettable=FORGETTABLE)
    # A transfer's journal is for the same run of the kernel only: a power cut ends what it is good for.
    return [finding for finding in found if "/journal.json shows " not in finding]


def is_needed_fsync(line: str, volume: Path) -> bool:
    """What was linked was durable before, and another fsync of it is harmless."""
    return " fsync(" in line and str(volume) in line and not any(f"/files/{name}>" in line for name in LINKED)


@pytest.mark.parametrize(("layout", "scene"), STEPS)
def test_what_a_rename_shows_was_made_durable_before(tmp_path: Path, layout: LayoutName, scene: str) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    log = traced(volume, layout, scene)
    assert findings(log, volume) == []
    # And each fsync is needed: a trace without it is found out. (At the first start directories are made one by one.)
    begin = next(number for number, line in enumerate(log) if BEGIN in line)
    fsyncs = [number for number, line in enumerate(log) if number > begin and is_needed_fsync(line, volume)]
    assert len(fsyncs) >= 2
    for number in fsyncs if scene != "first" else fsyncs[3:-1]:
        doctored = log[:number] + log[number + 1 :]
        assert findings(doctored, volume), f"nothing would be lost without {log[number]}"
