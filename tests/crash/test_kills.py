"""Killed at each change of the file system, a step leaves the old set or the new one, and a restart tidies up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from refresher.model import LayoutName

FEW = [
    (LayoutName.KUBERNETES, ["first", "update", "removed"]),
    (LayoutName.KUBERNETES, ["directory", "rollback", "tidy", "recovery"]),
    (LayoutName.KUBERNETES, ["resumed", "promised"]),
    (LayoutName.KUBERNETES, ["several"]),
    (LayoutName.LINK, ["update", "rollback"]),
    (LayoutName.FILE, ["renamed", "rollback-renamed"]),
    (LayoutName.VERSIONS, ["update", "rollback"]),
]


@pytest.mark.parametrize(("layout", "names"), FEW)
def test_a_step_killed_at_any_change_leaves_the_old_set_or_the_new(
    tmp_path: Path, layout: LayoutName, names: list[str]
) -> None:
    command = [sys.executable, "-m", "tests.crash.kills", str(tmp_path), layout, *names]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    killed = {found["scene"]: found["killed"] for found in map(json.loads, ran.stdout.splitlines())}
    assert sorted(killed) == sorted(names)
    # Fewer would mean that strace didn't see the calls.
    assert all(count >= 8 for count in killed.values()), killed
