"""All proofs, one after the other; the first that doesn't hold ends them: `python -m tests.soak [--short]`."""

import argparse
import subprocess
import sys
from collections.abc import Sequence

PROOFS: dict[str, Sequence[str] | None] = {
    "rotations": ["--rotations", "300"],
    "restarts": [],
    "fleet": ["--seconds", "90"],
    "simulated": None,  # of fewer pods chance alone is more than what is to be seen
    "goals": [],
    "outages": [],
    "endpoints": ["30"],
    "transfers": ["--size", "512", "--breaks", "3"],
    "replaced": ["--tries", "4"],
    "beside": None,  # a median of a few calls says nothing
    "requests": [],
    "faults": ["--minutes", "2"],
    "agent": ["--changes", "5"],
    "changes": ["--changes", "200", "--slower", "4"],
}
"""By name, with what makes each shorter; None: it can't be."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few minutes instead of an hour")
    short = parser.parse_args().short
    for proof, shorter in PROOFS.items():
        if short and shorter is None:
            continue
        argv = [sys.executable, "-m", f"tests.soak.{proof}", *(shorter or [] if short else [])]
        if code := subprocess.run(argv, check=False).returncode:
            sys.exit(code)


if __name__ == "__main__":
    main()
