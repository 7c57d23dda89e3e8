"""A hundred real sidecars beside simulated ones: `python -m tests.soak.simulated`.

Claims: a hundred `refresher run` on one web server ask it as often, in each phase and in its busiest half interval, as
the simulation says, within a fifth of the median of nine simulated fleets that differ in their seed, the real one's
among them; and between two looks of one pod lies as much time.

In the outage the server answers 503, so that it can count who asks. Of the real fleet the simulation knows the
configuration, and when each pod asked first: how long a process takes to start depends on the machine.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

from refresher.model import Refresh
from refresher.simulate import Behaviour, Course, Fleet, of_values
from refresher.simulate.findings import counted
from refresher.simulate.fleet import run
from tests.fakes.web import Page, Request, web_server
from tests.journeys.sidecar import Sidecar
from tests.soak.lab import Line, conclude, say

AGREES = 0.2
"""Of the simulated figure: how far the real one may be away."""
SEEDS = 9


class Counting:
    """A web server's answers: the same file to all, or 503; and when which path was asked for, in seconds."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []
        self.is_away = False
        self._page, self._began = Page(b"setting: 1\n", etag='"1"'), time.monotonic()

    def begin(self) -> None:
        """Count from now on."""
        self._began = time.monotonic()

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def __call__(self, request: Request) -> None:
        self.asked.append((self.now, request.path))
        if self.is_away:
            request.reply(503)
        else:
            self._page(request)


@dataclass(frozen=True, slots=True)
class Seen:
    """Requests in each phase, altogether and in the busiest bin, and the seconds between two looks of one pod.

    `waits` are those of the steady phase, when 10%, half and 90% of them were over.
    """

    requests: dict[str, int]
    busiest: dict[str, int]
    waits: tuple[float, float, float]


def seen(course: Course, asked: Sequence[tuple[float, str]], *, every: timedelta) -> Seen:
    """What was asked for. A bin is half an interval: in a whole one each pod would be counted once, in step or not."""
    moments, width = [at for at, _ in asked], every.total_seconds() / 2
    bins = {phase.name: counted(moments, phase.begin, phase.end, width) for phase in course.phases}
    return Seen(
        {name: sum(counts) for name, counts in bins.items()},
        {name: max(counts) for name, counts in bins.items()},
        _waits(course, asked),
    )


def _waits(course: Course, asked: Sequence[tuple[float, str]]) -> tuple[float, float, float]:
    steady, looks = course.steady, defaultdict(list)
    for at, who in asked:
        if steady.begin.total_seconds() <= at < steady.end.total_seconds():
            looks[who].append(at)
    tenths = quantiles([later - earlier for each in looks.values() for earlier, later in pairwise(each)], n=10)
    return tenths[0], tenths[4], tenths[8]


@contextmanager
def sidecars(directory: Path, url: str, fleet: Fleet, counting: Counting) -> Iterator[None]:
    """The fleet as processes, each started at its moment of the rollout."""
    members = sorted((fleet.member(number) for number in range(fleet.pods)), key=lambda member: member[1])
    with ExitStack() as running:
        made = [(_sidecar(directory / name, url, fleet), offset) for name, offset in members]
        counting.begin()
        for sidecar, offset in made:
            _wait_for(counting, offset)
            sidecar.begin()
            running.callback(sidecar.stop)
        yield


def _sidecar(directory: Path, url: str, fleet: Fleet) -> Sidecar:
    directory.mkdir()
    every = f"{fleet.refresh.every.total_seconds():g}s"
    asset = {"source": {"http": {"url": f"{url}/{directory.name}"}}, "refresh": {"every": every}}
    listeners = {"control": {"listen": f"unix:{directory}/control.sock"}, "probes": {"listen": "off"}}
    return Sidecar(directory, {"assets": {"asset": asset}, **listeners}, {"HOSTNAME": directory.name})


def _wait_for(counting: Counting, moment: timedelta) -> None:
    time.sleep(max(0.0, moment.total_seconds() - counting.now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Fleet):
    """A fleet whose pods, by their numbers, are started at these moments."""

    starts: tuple[timedelta, ...]

    def member(self, number: int) -> tuple[str, timedelta]:
        name, _ = Fleet.member(self, number)
        return name, self.starts[number]


def started(fleet: Fleet, asked: Sequence[tuple[float, str]]) -> Started:
    """The same fleet, as it was started really: each pod's first request."""
    first = {path: at for at, path in sorted(asked, reverse=True)}
    starts = tuple(timedelta(seconds=first[f"/{fleet.member(number)[0]}"]) for number in range(fleet.pods))
    return Started(pods=fleet.pods, refresh=fleet.refresh, rollout=fleet.rollout, seed=fleet.seed, starts=starts)


def real(fleet: Fleet, course: Course) -> list[tuple[float, str]]:
    """When which pod asked, in the course with real processes and a real server."""
    counting = Counting()
    with tempfile.TemporaryDirectory(prefix="refresher-soak-") as root, web_server() as server:
        server.respond = counting
        with sidecars(Path(root), server.url, fleet, counting):
            say(f"all {fleet.pods} are started after {counting.now:.0f} s")
            _wait_for(counting, course.outage.begin)
            counting.is_away = True
            say("the server is out")
            _wait_for(counting, course.outage.end)
            counting.is_away = False
            say("the server is back")
            _wait_for(counting, course.end)
    return counting.asked


def virtual(fleet: Fleet, course: Course) -> Seen:
    """The same on the virtual clock."""
    source, _ = run(fleet, course, Behaviour())
    return seen(course, list(zip(source.asked, source.askers, strict=True)), every=fleet.refresh.every)


def compared(fleet: Fleet, course: Course) -> list[Line]:
    """What came, beside what the simulation says."""
    asked = real(fleet, course)
    came, same = seen(course, asked, every=fleet.refresh.every), started(fleet, asked)
    expected = [virtual(replace(same, seed=fleet.seed + number), course) for number in range(SEEDS)]
    lines = []
    for name in came.requests:
        lines.append(_beside(f"{name}: requests", came.requests[name], [each.requests[name] for each in expected]))
        lines.append(
            _beside(f"{name}: busiest half interval", came.busiest[name], [each.busiest[name] for each in expected])
        )
    for number, share in enumerate(("10%", "half", "90%")):
        what = f"steady: seconds between two looks, {share} below"
        lines.append(_beside(what, came.waits[number], [each.waits[number] for each in expected]))
    return lines


def _beside(what: str, came: float, simulations: Sequence[float]) -> Line:
    expected = median(simulations)
    found = f"{came:g} real, {expected:g} simulated ({came / expected - 1:+.0%})"
    return Line(what, found, abs(came - expected) <= AGREES * expected)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.simulated", description=__doc__)
    parser.add_argument("--pods", type=int, default=100)
    parser.add_argument("--every", type=int, default=10, help="seconds from look to look")
    parser.add_argument("--rollout", type=int, default=120, help="seconds, in which they are started")
    parser.add_argument("--outage", type=int, default=30, help="seconds")
    given = parser.parse_args()
    every, rollout, outage = (timedelta(seconds=each) for each in (given.every, given.rollout, given.outage))
    fleet = Fleet(pods=given.pods, refresh=Refresh(every=every), rollout=rollout)
    lines = compared(fleet, of_values(every, rollout=rollout, outage=outage))
    conclude(f"{fleet.pods} pods that look every {every}, and simulated ones", lines)


if __name__ == "__main__":
    main()
