"""A large file whose connections are cut, and whose reader is killed: `python -m tests.soak.transfers`.

Claims, over HTTP and S3, over one connection and in ranges: what is published is the original byte for byte, and no
more than 1.1 times its bytes went to refresher, by the count of a proxy before the server.
"""

import argparse
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from tests.journeys.sidecar import Sidecar
from tests.soak.lab import Line, conclude, say
from tests.soak.shelf import MB, MiB, Original, Shelf, digest_of, put, shelves, written
from tests.soak.valve import Valve, valve
from tests.waiting import until

ONE, RANGES = "one connection", "ranges"
RATES = {ONE: {"rate": 250 * MB}, RANGES: {"connection_rate": 75 * MB}}
"""Slow enough for moments to be in the middle; and for one connection of several to want help."""
CONNECTIONS = {ONE: 1, RANGES: 4}
MOST = 1.1
"""Times the file's bytes, that may be moved."""
DEADLINE = 900.0
"""Seconds for the whole file, with all that happens to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Bytes of the file, and how often something happens to it."""

    file: int
    breaks: int


@dataclass(frozen=True, slots=True)
class Case:
    """The original, and a sidecar that is to have it through the valve."""

    original: Original
    sidecar: Sidecar
    valve: Valve
    size: Size
    moments: random.Random

    def come(self) -> bool:
        """Whether it has been published."""
        assert self.sidecar.process is not None
        assert self.sidecar.process.poll() is None, self.sidecar.logged()
        return (self.sidecar.volume / "model/model").exists()

    def wait(self) -> None:
        """Until it is published."""
        until(self.come, within=DEADLINE, every=0.05)

    def gaps(self) -> Iterator[int]:
        """Bytes from each moment at which something happens to the next, which leave some for the end."""
        for _ in range(self.size.breaks):
            yield int(self.moments.uniform(0.2, 0.9) * self.size.file / self.size.breaks)


def cut(case: Case) -> None:
    """Cut connections off in the middle of the file."""
    case.valve.cut_at(accumulate(case.gaps()))
    case.sidecar.begin()
    case.wait()
    assert case.valve.cut == case.size.breaks, case.valve.cut


def killed(case: Case) -> None:
    """Kill the sidecar in the middle of the file, and start another."""
    for gap in case.gaps():
        target = case.valve.moved + gap
        case.sidecar.begin()
        until(lambda: case.come() or case.valve.moved >= target, within=DEADLINE, every=0.001)  # noqa: B023 - asked now
        assert not case.come()
        case.sidecar.kill()
    case.sidecar.begin()
    case.wait()


TROUBLES: dict[str, Callable[[Case], None]] = {"cut": cut, "killed": killed}


@contextmanager
def prepared(directory: Path, shelf: Shelf, original: Original, way: str, size: Size) -> Iterator[Case]:
    """A sidecar that hasn't begun, and a valve for it."""
    directory.mkdir()
    with valve(shelf.url, **RATES[way]) as one:
        asset: dict[str, Any] = {"source": shelf.source("model", one.url), "limits": {"connections": CONNECTIONS[way]}}
        sidecar = Sidecar(directory, {"assets": {"model": asset}}, shelf.environment())
        try:
            yield Case(original, sidecar, one, size, random.Random(way))
        finally:
            sidecar.kill()


def judged(case: Case, kind: str, way: str, trouble: str) -> list[Line]:
    """What holds of the file that came, and of its way."""
    name, most_open = f"{kind}, {way}, {trouble}", case.valve.most_open
    ratio = case.valve.moved / case.size.file
    is_whole = digest_of(case.sidecar.volume / "model/model") == case.original.digest
    left = [path.name for path in (case.sidecar.volume / "model/..refresher").glob("incoming-*")]
    say(f"{name}: moved {ratio:.4f} times, whole: {is_whole}, {most_open} connections at a time")
    return [
        Line(f"{name}: whole, and nothing left over", is_whole and not left, is_whole and not left),
        Line(f"{name}: bytes moved / size", f"{ratio:.4f}", ratio <= MOST),
        Line(f"{name}: connections at a time", most_open, way == ONE or most_open >= CONNECTIONS[way]),
    ]


def prove(directory: Path, kind: str, shelf: Shelf, size: Size) -> list[Line]:
    """Everything that can happen to a file, over this kind of source."""
    original = put(shelf, "model", written(directory / "model", size.file))
    lines = []
    for way in RATES:
        for number, (trouble, happens) in enumerate(TROUBLES.items()):
            with prepared(directory / f"{kind}-{CONNECTIONS[way]}-{number}", shelf, original, way, size) as case:
                happens(case)
                lines += judged(case, kind, way, trouble)
            (case.sidecar.volume / "model/model").resolve().unlink()
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.transfers", description=__doc__)
    parser.add_argument("--size", type=int, default=2048, help="MiB")
    parser.add_argument("--breaks", type=int, default=20)
    given = parser.parse_args()
    size = Size(file=given.size * MiB, breaks=given.breaks)
    with shelves() as (directory, kinds):
        lines = [line for kind, shelf in kinds.items() for line in prove(directory, kind, shelf, size)]
    conclude(f"{given.size} MiB, of which the connection is cut and the sidecar killed {size.breaks} times each", lines)


if __name__ == "__main__":
    main()
