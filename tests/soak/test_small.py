"""The long proofs at a size that fits into the tests."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.soak.__main__ import PROOFS

SMALL = {
    "rotations": ["--rotations", "4", "--assets", "4", "--ttl", "12"],  # renewed with four seconds left
    "restarts": ["--restarts", "2"],
    "requests": ["--requests", "400", "--seconds", "2"],
    "changes": ["--changes", "16", "--slower", "20"],
}


@pytest.mark.parametrize("proof", SMALL)
def test_a_proof_holds_at_a_small_size_too(proof: str) -> None:
    argv = [sys.executable, "-m", f"tests.soak.{proof}", *SMALL[proof]]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "holds" in ran.stdout


def test_every_proof_is_run() -> None:
    programs = {path.stem for path in Path(__file__).parent.glob("[a-z]*.py") if "\ndef main(" in path.read_text()}
    assert set(PROOFS) == programs - {"reader"}  # what somebody else in the pod reads meanwhile
