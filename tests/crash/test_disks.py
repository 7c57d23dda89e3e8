"""Full, read-only, mounted over, on two devices: the old files stay, nothing is left over, and the error says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.disks import CASES


@pytest.mark.parametrize("case", CASES)
def test_a_disk_in_trouble(tmp_path: Path, case: str) -> None:
    # Mounts of its own, which end with the process; who isn't root is root in a user namespace of his own.
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    command = [*unshare, sys.executable, "-m", "tests.crash.disks", case, str(tmp_path / "volume")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
