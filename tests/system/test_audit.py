import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
AUDIT = ROOT / ".ci/audit.py"


def audit(lock: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(AUDIT), str(lock)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **environment},
    )


def verdict(*dependencies: dict[str, Any]) -> tuple[str, int]:
    found: tuple[str, int] = runpy.run_path(str(AUDIT))["verdict"]({"dependencies": dependencies, "fixes": []})
    return found


def test_a_database_that_cannot_be_reached_is_said_and_no_failure() -> None:
    nobody = "http://127.0.0.1:1"
    ended = audit(ROOT / "requirements.lock", HTTPS_PROXY=nobody, HTTP_PROXY=nobody, https_proxy=nobody)
    assert (ended.returncode, ended.stdout.splitlines()) == (
        0,
        ["NOT CHECKED: the database of vulnerabilities couldn't be reached"],
    )


def test_a_lock_file_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    ended = audit(tmp_path / "missing.lock")
    assert ended.returncode == 1
    assert "missing.lock" in ended.stdout


def test_a_known_vulnerability_is_a_failure_and_named() -> None:
    vulnerability = {"id": "GHSA-1", "fix_versions": ["2.1"], "aliases": [], "description": ""}
    said, code = verdict({"name": "some", "version": "2.0", "vulns": [vulnerability]})
    assert code == 1
    assert said == "some 2.0: GHSA-1, repaired in 2.1\n1 packages looked up, 1 known vulnerabilities"


def test_what_could_not_be_looked_up_is_not_called_clean() -> None:
    said, code = verdict({"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"})
    assert code == 0
    assert said.splitlines()[0] == "1 packages looked up, 0 known vulnerabilities"
    assert said.splitlines()[1].startswith("NOT CHECKED: 1 packages")
