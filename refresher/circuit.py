"""Who may ask an endpoint, and when: arithmetic without a clock, for all who want something of one server.

    closed ──it doesn't answer──> open ──the wait is over──> half-open ──an answer──> closed
                                   └<──────it doesn't answer──────┘

Closed, several may ask at once. Open, nobody does; half-open, one at a time: the one whose files end first, of those
who asked the least often since it went away, so that nobody who fails alone can keep the others waiting. The wait is
the retry's (`due.backoff`), counted for all together; what he holds and how often he looks bound it for each, as they
bound his own retry. A `Bucket` spreads what is asked while the circuit is closed.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import nsmallest

from refresher.due import LONGEST, backoff, longest_retry
from refresher.renewal import SHORTEST, later
from refresher.state import CircuitState

LAPSE = timedelta(seconds=1)
"""After which one who was called, and hasn't come, holds up nobody any more."""

_NO_END = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What bounds the wait of one asset: when what it holds ends, and how often it looks; None: nothing.

    `probes`: whether asking for it shows soon that the endpoint answers. An answer that is held back doesn't.
    """

    ends_at: datetime | None = None
    every: timedelta | None = None
    probes: bool = True

    def longest_wait(self, moment: datetime) -> timedelta:
        """How long its server may not be asked for it, from this moment on."""
        return min(longest_retry(self.ends_at, moment), self.every or timedelta.max)


ANY_TIME = Need()
ONCE_IT_ANSWERS = Need(probes=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """Whether an endpoint answers: `failures` assets found that it doesn't, the last at `failed_at`; then all `wait`.

    One that alone finds nobody, however often, makes no other wait for longer: each has his own back-off besides.
    Neither does who asks before the wait is over, because of a need of his own or by hand: he only moves `asked_at`,
    from which needs are counted. Else an asset that has expired, and is asked for every ten seconds, could keep all
    others out for ever.
    """

    failures: int = 0
    failed_at: datetime | None = None
    wait: timedelta = timedelta(0)
    asked_at: datetime | None = None

    @property
    def is_closed(self) -> bool:
        """Whether nothing is known against it."""
        return self.failed_at is None

    def failed(self, at: datetime, *, failures: int, draw: float, retry_after: timedelta | None = None) -> "Circuit":
        """After one more attempt; so many assets know by now. `draw` (0 to 1) says what is taken off the wait.

        A `Retry-After` is obeyed for five minutes at most: an answer about one thing may not hold up others for longer.
        """
        if not self.lets(ANY_TIME, at):
            return replace(self, asked_at=at)
        wait = max(backoff(failures, draw), min(retry_after or timedelta(0), LONGEST))
        return Circuit(failures=failures, failed_at=at, wait=wait, asked_at=at)

    def until(self, need: Need = ANY_TIME) -> datetime | None:
        """When one may ask who needs it so; None if the circuit is closed."""
        if self.failed_at is None or self.asked_at is None:
            return None
        over = max(later(self.failed_at, self.wait), later(self.asked_at, min(self.wait, SHORTEST)))
        return min(over, later(self.asked_at, need.longest_wait(self.asked_at)))

    def lets(self, need: Need, now: datetime) -> bool:
        """Whether one may ask now who needs it so; a clock that was set back ends the wait."""
        if not need.probes:
            return self.is_closed
        until = self.until(need)
        return until is None or now >= until or (self.failed_at is not None and now < self.failed_at)

    def state(self, now: datetime) -> CircuitState:
        """What is shown of it."""
        if self.is_closed:
            return CircuitState.CLOSED
        return CircuitState.HALF_OPEN if self.lets(ANY_TIME, now) else CircuitState.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One turn each `gap`, and `burst` of them after a pause; those up to now are earned at `earned_at`.

    A token bucket that keeps one moment instead of a count: the generic cell rate algorithm (ITU-T I.371).
    """

    gap: timedelta
    burst: int
    earned_at: datetime

    def free(self, now: datetime) -> int:
        """Turns that there are at once."""
        return self.burst + (now - self._earned_at(now)) // self.gap

    def opens_at(self, now: datetime) -> datetime:
        """When there is one more, at the latest."""
        return max(now, self._earned_at(now) - (self.burst - 1) * self.gap)

    def spent(self, now: datetime) -> "Bucket":
        """After one turn."""
        return replace(self, earned_at=min(self._earned_at(now) + self.gap, now + self.burst * self.gap))

    def emptied(self, now: datetime) -> "Bucket":
        """Without the burst, for a server that has just come back."""
        return replace(self, earned_at=now + self.burst * self.gap)

    def _earned_at(self, now: datetime) -> datetime:
        # Never farther ahead than a whole burst, where only a clock that was set back can have put it.
        return min(max(self.earned_at, now), now + self.burst * self.gap)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One who wants to ask, since when, and how he needs it.

    `failures` are his own since the endpoint went away; `called_at` is when he was told that it's his turn.
    """

    name: str
    since: datetime
    need: Need = ANY_TIME
    failures: int = 0
    called_at: datetime | None = None

    def lapsed(self, now: datetime) -> bool:
        """Whether he was called, and didn't come."""
        return self.called_at is not None and not self.called_at <= now < self.called_at + LAPSE

    def rank(self, now: datetime) -> tuple[bool, bool, int, datetime, datetime]:
        """The smallest goes first."""
        return self.lapsed(now), not self.need.probes, self.failures, self.need.ends_at or _NO_END, self.since


def free(circuit: Circuit, bucket: Bucket, *, asking: int, concurrency: int, now: datetime) -> int:
    """How many more may ask now, besides those who are."""
    return max(0, min((concurrency if circuit.is_closed else 1) - asking, bucket.free(now)))


def admitted(line: Collection[Waiting], circuit: Circuit, *, most: int, now: datetime) -> list[Waiting]:
    """Those who may ask now, `most` at the most, the neediest first."""
    may = (waiting for waiting in line if circuit.lets(waiting.need, now))
    return nsmallest(most, may, key=lambda waiting: waiting.rank(now))


def next_call(line: Collection[Waiting], circuit: Circuit, bucket: Bucket, *, now: datetime) -> datetime | None:
    """When time alone can change who is admitted; None if nobody waits."""
    moments = [circuit.until(waiting.need) for waiting in line]
    moments += [waiting.called_at + LAPSE for waiting in line if waiting.called_at]
    return min((at for at in (*moments, bucket.opens_at(now)) if at and at > now), default=None) if line else None
