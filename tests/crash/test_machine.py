"""Publish, reject, rollback, kill, planted things, lost links, restarts, a full disk: in any order it holds."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = os.environ.get("MACHINE_EXAMPLES", "50")


def test_whatever_happens_readers_see_what_was_published_last(tmp_path: Path) -> None:
    # In a process of its own, which has one thread and can be forked; in mounts of its own, which end with it.
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    command = [*unshare, sys.executable, "-m", "tests.crash.machine", EXAMPLES, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert ran.returncode == 0, ran.stderr[-5000:]
