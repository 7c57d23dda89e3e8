"""A fleet on a virtual clock: whose moment is next looks at the source, and says when it looks again."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heapreplace

from refresher.model import Refresh
from refresher.renewal import unit
from refresher.simulate.courses import Course
from refresher.simulate.findings import Findings, found
from refresher.simulate.pod import Pod
from refresher.simulate.source import Behaviour, Source

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""Where the virtual clock starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """So many pods of one deployment, started within `rollout`, whose clocks are wrong by up to ± `skew`.

    `seed` draws another fleet of the same kind.
    """

    pods: int = 10_000
    refresh: Refresh = field(default_factory=Refresh)
    rollout: timedelta = timedelta(minutes=5)
    skew: timedelta = timedelta(0)
    seed: int = 1

    def member(self, number: int) -> tuple[str, timedelta]:
        """The pod of that number: its name, and when in the rollout it is started."""
        name = f"web-{self.seed}-{number}"
        return name, self.rollout * unit(name, "rollout")


def simulated(fleet: Fleet, course: Course, behaviour: Behaviour) -> Findings:
    """What the fleet does to the source in that course, and how the pods fare. The same arguments, the same answer."""
    source, pods = run(fleet, course, behaviour)
    return found(course, source, pods, began=BEGIN)


def run(fleet: Fleet, course: Course, behaviour: Behaviour) -> tuple[Source, list[Pod]]:
    """The same, as the source and the pods noted it."""
    outage = (BEGIN + course.outage.begin, BEGIN + course.outage.end)
    changes = [BEGIN + change for change in course.changes]
    source = Source(behaviour, began=BEGIN, outage=outage, changes=changes)
    members = [_pod(fleet, course, number) for number in range(fleet.pods)]
    _look_in_order(members, source, until=BEGIN + course.end)
    return source, [pod for _, pod in members]


def _pod(fleet: Fleet, course: Course, number: int) -> tuple[datetime, Pod]:
    """When it is started, and what it is."""
    name, offset = fleet.member(number)
    starts_at, skew = BEGIN + offset, fleet.skew * (2 * unit(name, "skew") - 1)
    return starts_at, Pod(name, fleet.refresh, starts_at=starts_at, skew=skew, lifetime=course.lifetime)


def _look_in_order(pods: list[tuple[datetime, Pod]], source: Source, *, until: datetime) -> None:
    """Each pod is in the line once, with its next moment."""
    line = [(starts_at, number) for number, (starts_at, _) in enumerate(pods)]
    heapify(line)
    while line and line[0][0] < until:
        at, number = line[0]
        upcoming = pods[number][1].look(source, at)
        if upcoming is None:
            heappop(line)
        else:
            heapreplace(line, (upcoming, number))
