"""What was seen in a simulation: requests in each phase, and how the pods fared."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from math import ceil, exp, inf, lgamma, log

from refresher.simulate.courses import Course, Phase
from refresher.simulate.pod import Pod
from refresher.simulate.source import Source

BIN = 10
"""Seconds whose requests are counted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The requests of one phase, a second unless it says otherwise.

    `p99` is what 99% of the seconds don't exceed, `peak` the busiest second, `peak_bin` the mean of the busiest `BIN`
    seconds; `failed` are all requests that weren't served.
    """

    phase: Phase
    requests: int
    failed: int
    mean: float
    p99: int
    peak: int
    peak_bin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The load in each phase, and of the pods: how many ever had an expired certificate, the longest for which one did.

    `silence` is the longest that any pod heard nothing from its source; `staleness` how long it took from a change
    until the last pod had it, None if there was none. `bins` are the requests in each `BIN` seconds of the course.
    """

    course: Course
    pods: int
    loads: tuple[Load, ...]
    expired: int
    longest_expired: timedelta
    silence: timedelta
    staleness: timedelta | None
    bins: tuple[int, ...]

    def load(self, phase: str) -> Load:
        """The load in the phase of that name."""
        return next(load for load in self.loads if load.phase.name == phase)

    @property
    def steady(self) -> Load:
        """The load in the steady phase."""
        return self.load(self.course.steady.name)

    def ratio(self, load: Load) -> float:
        """A phase's busiest `BIN` seconds, as times the mean of the steady phase; infinite if nobody asked in that."""
        return load.peak_bin / self.steady.mean if self.steady.mean else inf


def found(course: Course, source: Source, pods: Sequence[Pod], *, began: datetime) -> Findings:
    """The figures, from what the source and the pods noted."""
    end = began + course.end
    expired = [pod.expired_for(end) for pod in pods]
    return Findings(
        course=course,
        pods=len(pods),
        loads=tuple(_load(phase, source) for phase in course.phases if phase.begin < phase.end),
        expired=sum(each > timedelta(0) for each in expired),
        longest_expired=max(expired, default=timedelta(0)),
        silence=max((pod.silent(end) for pod in pods), default=timedelta(0)),
        staleness=_staleness(pods, began + course.changes[0], end) if course.changes else None,
        bins=tuple(counted(source.asked, timedelta(0), course.end, BIN)),
    )


def chance(load: Load) -> float:
    """The ratio of busiest to mean `BIN` seconds, if that many requests came at moments drawn by lot.

    The requests of one bin are Poisson's then; the busiest of n bins has about what one of n exceeds.
    """
    mean = load.mean * BIN
    if not mean:
        return inf
    rest, length = 1.0, (load.phase.end - load.phase.begin).total_seconds()
    for requests in count():
        rest -= exp(requests * log(mean) - mean - lgamma(requests + 1))
        if rest <= BIN / max(length, 2 * BIN):
            return requests / mean
    raise AssertionError


def _load(phase: Phase, source: Source) -> Load:
    # Seconds in which somebody asked: a phase can have a hundred million.
    seconds = sorted(_counts(source.asked, phase.begin, phase.end, 1).values())
    bins = _counts(source.asked, phase.begin, phase.end, BIN)
    length = (phase.end - phase.begin).total_seconds()
    return Load(
        phase=phase,
        requests=sum(seconds),
        failed=_counts(source.failed, phase.begin, phase.end, 1).total(),
        mean=sum(seconds) / length,
        p99=_at_percent(99, seconds, of=ceil(length)),
        peak=max(seconds, default=0),
        peak_bin=max(bins.values(), default=0) / min(BIN, length),
    )


def counted(moments: Iterable[float], begin: timedelta, end: timedelta, width: float) -> list[int]:
    """How many of the moments are in each `width` seconds between the two; the last of these may be shorter."""
    counts = _counts(moments, begin, end, width)
    return [counts[number] for number in range(int(-((begin - end).total_seconds() // width)))]


def _counts(moments: Iterable[float], begin: timedelta, end: timedelta, width: float) -> Counter[int]:
    """The same, of those in which there are any."""
    first, last = begin.total_seconds(), end.total_seconds()
    return Counter(int((moment - first) // width) for moment in moments if first <= moment < last)


def _at_percent(percent: int, counts: Sequence[int], *, of: int) -> int:
    """What so many percent don't exceed, of that many counts, of which all but these are 0; `counts` are sorted."""
    place = of * percent // 100 - (of - len(counts))
    return counts[place] if place >= 0 else 0


def _staleness(pods: Sequence[Pod], change: datetime, end: datetime) -> timedelta:
    """From the change until the last pod had it; until the end, if one hasn't."""
    return max(
        (min((at for at in pod.published_at if at >= change), default=end) - change for pod in pods),
        default=timedelta(0),
    )
