"""What happens to a fleet, and when: a deployment, a quiet time, a rotation, an outage and what follows it.

All moments are counted from the beginning of the deployment.
"""

from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate, pairwise

NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the course, about which figures are given."""

    name: str
    begin: timedelta
    end: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What happens, told in phases that follow each other.

    `outage` is the phase in which the source serves nobody, `steady` the one that others are compared with. Where what
    is kept are values, all of them change at `changes`; where `lifetime` isn't None, they are certificates instead,
    which are made anew and live so long.
    """

    title: str
    phases: tuple[Phase, ...]
    outage: Phase
    steady: Phase
    changes: tuple[timedelta, ...] = ()
    lifetime: timedelta | None = None

    @property
    def end(self) -> timedelta:
        """When it is over."""
        return self.phases[-1].end


def of_values(every: timedelta, *, rollout: timedelta, outage: timedelta) -> Course:
    """Values that are looked at on an interval; each phase is long enough for everybody to look a few times."""
    phases = _following(
        ("deployment", rollout + every),
        ("settling", 5 * every),
        ("steady", 12 * every),
        ("rotation", 2 * every),
        ("outage", outage),
        ("come-back", 6 * every),
        ("later", 12 * every),
    )
    steady, rotation, away = phases[2:5]
    return Course(title="values", phases=phases, outage=away, steady=steady, changes=(rotation.begin,))


def of_certificates(lifetime: timedelta, *, rollout: timedelta, outage: timedelta) -> Course:
    """Certificates that are all issued in one deployment; the outage begins while the first are being renewed."""
    phases = _following(
        ("deployment", max(rollout, lifetime * 0.01)),
        ("quiet", lifetime * 0.49),
        ("renewals", lifetime * 0.1),
        ("outage", outage),
        ("come-back", lifetime * 0.2),
        ("steady", lifetime * 3),
    )
    return Course(title="certificates", phases=phases, outage=phases[3], steady=phases[5], lifetime=lifetime)


def _following(*spans: tuple[str, timedelta]) -> tuple[Phase, ...]:
    """Phases one after the other; those that take no time don't happen."""
    ends = pairwise(accumulate((length for _, length in spans), initial=NOTHING))
    return tuple(Phase(name, begin, end) for (name, _), (begin, end) in zip(spans, ends, strict=True))
