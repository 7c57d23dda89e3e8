"""From a change at the source to the visible file: `python -m tests.soak.changes`.

Claims: with a server that is waited at, and with a watched file, whatever the interval, a change is visible within a
second; at such a server, 99 of 100 within 250 ms. Each change is made once the asset is waited at, as nearly all are.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.fakes.long_poll import LongPoll, serving
from tests.journeys.sidecar import Sidecar, running
from tests.soak.lab import Line, conclude
from tests.waiting import until

ASSETS = 8
SELDOM = {"refresh": {"every": "1h"}}
P99 = 0.25
"""Seconds, for a server on loopback that is waited at."""
LONGEST = 1.0
"""Seconds, for each change."""

Change = Callable[[bytes], None]


def seen(sidecar: Sidecar, asset: str, content: bytes, change: Change) -> float:
    """Seconds from the change until a reader sees it."""
    path = sidecar.volume / asset / "file"
    began = time.monotonic()
    change(content)
    until(lambda: path.read_bytes() == content, within=60, every=0.002)
    return time.monotonic() - began


def measured(
    directory: Path,
    sources: Mapping[str, Any],
    changes: Mapping[str, Change],
    ready: Callable[[str], bool],
    number: int,
) -> list[float]:
    """Seconds that so many changes took, of one asset after the other."""
    assets = {name: {"source": source, **SELDOM} for name, source in sources.items()}
    with running(directory, {"assets": assets}) as sidecar:
        until(lambda: all((sidecar.volume / name / "file").exists() for name in assets), within=60)
        took = []
        for count in range(number):
            name = list(assets)[count % len(assets)]
            until(lambda name=name: ready(name), within=60)
            took.append(seen(sidecar, name, f"content {count}".encode(), changes[name]))
        return took


def at_a_server(directory: Path, number: int) -> list[float]:
    """At servers that hold requests back."""
    with ExitStack() as stack:
        shelves = {f"web{count}": LongPoll() for count in range(ASSETS)}
        servers = {name: stack.enter_context(serving(shelf)) for name, shelf in shelves.items()}
        sources = {name: {"http": {"url": f"{server.url}/file", "wait": "5m"}} for name, server in servers.items()}
        changes = {name: shelf.put for name, shelf in shelves.items()}
        return measured(directory, sources, changes, lambda name: bool(shelves[name].held), number)


def of_a_file(directory: Path, number: int) -> list[float]:
    """Of files that are replaced, each in a directory of its own."""
    paths = {f"local{count}": directory / f"local{count}" / "file" for count in range(ASSETS)}
    for path in paths.values():
        path.parent.mkdir()
        path.write_bytes(b"content")
    sources = {name: f"file://{path}" for name, path in paths.items()}
    changes: dict[str, Change] = {name: replacing(path) for name, path in paths.items()}
    return measured(directory, sources, changes, lambda _: True, number)


def replacing(path: Path) -> Change:
    """How a careful writer changes this file."""

    def replace(content: bytes) -> None:
        new = path.with_name(".new")
        new.write_bytes(content)
        new.rename(path)

    return replace


def told(what: str, took: Sequence[float], *, p99: float, longest: float) -> list[Line]:
    """What was found, in milliseconds; the bounds in seconds."""
    hundredths = statistics.quantiles(took, n=100, method="inclusive")
    return [
        Line(f"{what}: changes", len(took)),
        Line(f"{what}: visible after, p50 (ms)", round(hundredths[49] * 1000)),
        Line(f"{what}: visible after, p99 (ms)", round(hundredths[98] * 1000), hundredths[98] < p99),
        Line(f"{what}: visible after, longest (ms)", round(max(took) * 1000), max(took) < longest),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.changes", description=__doc__)
    parser.add_argument("--changes", type=int, default=400, help="at servers; half as many of files")
    parser.add_argument("--slower", type=float, default=1, help="how many times as long it may take, on a busy machine")
    given = parser.parse_args()
    number, longest = given.changes, LONGEST * given.slower
    with tempfile.TemporaryDirectory(prefix="refresher-soak-") as root:
        directories = [Path(root) / "server", Path(root) / "file"]
        for directory in directories:
            directory.mkdir()
        waited = at_a_server(directories[0], number)
        watched = of_a_file(directories[1], number // 2)
    lines = told("long poll", waited, p99=P99 * given.slower, longest=longest)
    lines += told("watched file", watched, p99=longest, longest=longest)
    conclude("From a change at the source to the visible file", lines)


if __name__ == "__main__":
    main()
