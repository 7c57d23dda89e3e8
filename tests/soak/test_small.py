"""The long proofs at a size that fits into the tests."""

import subprocess
import sys

import pytest

SMALL = {
    "rotations": ["--rotations", "8", "--assets", "4", "--ttl", "4"],
    "restarts": ["--restarts", "2"],
    "requests": ["--requests", "400", "--seconds", "2"],
}


@pytest.mark.parametrize("proof", SMALL)
def test_a_proof_holds_at_a_small_size_too(proof: str) -> None:
    argv = [sys.executable, "-m", f"tests.soak.{proof}", *SMALL[proof]]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "holds" in ran.stdout
