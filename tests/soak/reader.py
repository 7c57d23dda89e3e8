"""An app's reader that never rests: `python -m tests.soak.reader DIRECTORY…`.

It reads the pair of each directory until its standard input ends, and then prints what it saw as JSON: how many pairs,
how many certificates, the first bad states, and the least seconds that a certificate had left when it was read.
"""

import json
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.journeys.pairs import whole_pair

SHOWN = 10
"""Bad states that are told in words."""


class Seen:
    """What a reader saw so far."""

    def __init__(self) -> None:
        self.pairs, self.bad, self.least = 0, 0, float("inf")
        self.serials: set[int] = set()
        self.problems: list[str] = []

    def look(self, directory: Path) -> None:
        """Read one pair. A certificate that has expired is a bad state."""
        self.pairs += 1
        try:
            certificate = whole_pair(directory)
            left = (certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds()
            if left < 0:
                self._note(f"{directory}: expired {-left:.3f} s ago")
        except (OSError, ValueError) as error:
            self._note(f"{directory}: {error}")
        else:
            self.least = min(self.least, left)
            self.serials.add(certificate.serial_number)

    def document(self) -> dict[str, Any]:
        """All of it."""
        return {
            "pairs": self.pairs,
            "certificates": len(self.serials),
            "bad": self.bad,
            "problems": self.problems,
            "least": self.least,
        }

    def _note(self, problem: str) -> None:
        self.bad += 1
        if len(self.problems) < SHOWN:
            self.problems.append(problem)


@contextmanager
def reading(directories: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """A reader process beside what happens in the context; what it saw is in the answer afterwards."""
    saw: dict[str, Any] = {}
    argv = [sys.executable, "-m", "tests.soak.reader", *map(str, directories)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield saw
        saw |= json.loads(child.communicate()[0])


def main(*directories: str) -> None:
    seen, paths = Seen(), [Path(directory) for directory in directories]
    while not select.select([sys.stdin], [], [], 0)[0]:
        for path in paths:
            seen.look(path)
    print(json.dumps(seen.document()))


if __name__ == "__main__":
    main(*sys.argv[1:])
