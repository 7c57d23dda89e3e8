"""Certificates that are refreshed while a large file is on its way: `python -m tests.soak.beside`.

Claim: in the same sidecar, the median time of a refresh, asked for over the local API, is within 50 ms of what it is
while nothing else is on its way.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, takewhile
from pathlib import Path

import urllib3

from refresher.demo.caddy import Caddy
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.soak.lab import Line, authority, conclude
from tests.soak.shelf import MiB, OverHttp, written
from tests.waiting import until

BOUND = 0.05
"""Seconds between the two medians."""
A_FILE = 10
"""Calls beside one file; then come as many alone."""
DEADLINE = 300
"""Seconds for the file."""


@dataclass
class Rounds:
    """Calls while the file is on its way, and while nothing is, in turns; in seconds each."""

    sidecar: Sidecar
    file: Path
    names: Iterator[str]
    beside: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    files: int = 0

    def run(self, calls: int) -> None:
        """So many calls in each state."""
        while len(self.beside) < calls:
            with self._coming() as file:
                self.beside += self._calls(min(A_FILE, calls - len(self.beside)), while_=lambda: not file.done())
            self.alone += self._calls(len(self.beside) - len(self.alone), while_=lambda: True)

    def _calls(self, most: int, *, while_: Callable[[], bool]) -> list[float]:
        """How long each of these calls took, of which all began and ended while that was true."""
        taken = (self._refreshed() for _ in range(most))
        return list(takewhile(lambda _: while_(), taken))

    def _refreshed(self) -> float:
        begin = time.perf_counter()
        answer = self.sidecar.ask("POST", f"/refresh/{next(self.names)}")
        assert answer.json()["result"] == "published", answer.data
        return time.perf_counter() - begin

    @contextmanager
    def _coming(self) -> Iterator[Future[urllib3.BaseHTTPResponse]]:
        """The file, changed and asked for, once the first of it has come."""
        os.utime(self.file)
        with ThreadPoolExecutor(1) as asking:
            asked = asking.submit(self.sidecar.ask, "POST", f"/refresh/model?timeout={DEADLINE}s")
            until(lambda: asked.done() or self._has_come(), every=0.001)
            yield asked
        assert asked.result().status == 200, asked.result().data
        self.files += 1

    def _has_come(self) -> bool:
        return any((self.sidecar.volume / "model").glob("..refresher/incoming-*/files/model"))


def prove(directory: Path, pki: Pki, caddy: Caddy, *, size: int, calls: int) -> list[Line]:
    """Ask so often in each state, and compare."""
    content = written(caddy.root / "model", size)
    # An asset for each few calls: the API lets ten through at once, and then one a second.
    names = [f"web-{number}" for number in range(1 + calls // 2)]
    assets = {name: pki.asset(ttl="1h") for name in names}
    assets["model"] = {"source": OverHttp(caddy).source("model", caddy.url), "refresh": {"every": 0}}
    with running(directory, pki.configuration(**assets)) as sidecar:
        until(lambda: all((sidecar.volume / name / "..data").exists() for name in assets), within=DEADLINE, every=0.1)
        rounds = Rounds(sidecar, content, cycle(names))
        rounds.run(calls)
    apart = statistics.median(rounds.beside) - statistics.median(rounds.alone)
    return [
        Line(f"files on their way beside {calls} calls", rounds.files),
        Line("median and 90% alone", told(rounds.alone)),
        Line("median and 90% beside the file", told(rounds.beside)),
        Line("between the medians", f"{apart * 1000:.1f} ms", apart <= BOUND),
    ]


def told(seconds: Sequence[float]) -> str:
    """The median, and what nine of ten take at the most."""
    return f"{statistics.median(seconds) * 1000:.1f} ms, {statistics.quantiles(seconds, n=10)[-1] * 1000:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.beside", description=__doc__)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--size", type=int, default=2048, help="MiB")
    given = parser.parse_args()
    with authority() as (directory, pki):
        (directory / "caddy").mkdir()
        with Caddy.started(directory / "caddy") as caddy:
            lines = prove(directory, pki, caddy, size=given.size * MiB, calls=given.calls)
    conclude(f"{given.calls} refreshes of a certificate beside a file of {given.size} MiB, and as many alone", lines)


if __name__ == "__main__":
    main()
