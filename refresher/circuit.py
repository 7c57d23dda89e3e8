"""Who may ask an endpoint, and when: arithmetic without a clock, for all who want something of one server.

    closed ──it doesn't answer──> open ──the wait is over──> half-open ──an answer──> closed
                                   └<──────it doesn't answer──────┘

Closed, several may ask at once. Open, nobody does; half-open, one at a time: the one whose files end first, of those
who asked the least often since it went away, so that nobody who fails alone can keep the others waiting. The wait is
the retry's (`due.backoff`), counted for all together; what ends soon bounds it for the one who holds it as it bounds
his own retry. A `Bucket` spreads what is asked while the circuit is closed.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import nsmallest

from refresher.due import LONGEST, backoff, longest_retry
from refresher.renewal import later
from refresher.state import CircuitState

LAPSE = timedelta(seconds=1)
"""After which one who was called, and hasn't come, holds up nobody any more."""

_NO_END = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """Whether an endpoint answers: `failures` in a row say no, the last of them at `failed_at`; then all `wait`."""

    failures: int = 0
    failed_at: datetime | None = None
    wait: timedelta = timedelta(0)

    @property
    def is_closed(self) -> bool:
        """Whether nothing is known against it."""
        return self.failed_at is None

    def failed(self, at: datetime, *, draw: float, retry_after: timedelta | None = None) -> "Circuit":
        """After one more failure; `draw` (0 to 1) is how much of a quarter is taken off the wait.

        A `Retry-After` is obeyed for five minutes at most: an answer about one thing may not hold up others for longer.
        """
        wait = max(backoff(self.failures + 1, draw), min(retry_after or timedelta(0), LONGEST))
        return Circuit(failures=self.failures + 1, failed_at=at, wait=wait)

    def until(self, ends_at: datetime | None = None) -> datetime | None:
        """When one may ask whose files end then (None: never); None if the circuit is closed."""
        if self.failed_at is None:
            return None
        return later(self.failed_at, min(self.wait, longest_retry(ends_at, self.failed_at)))

    def lets(self, ends_at: datetime | None, now: datetime) -> bool:
        """Whether one may ask now whose files end then; a clock that was set back ends the wait."""
        until = self.until(ends_at)
        return until is None or self.failed_at is None or not self.failed_at <= now < until

    def state(self, now: datetime) -> CircuitState:
        """What is shown of it."""
        if self.is_closed:
            return CircuitState.CLOSED
        return CircuitState.HALF_OPEN if self.lets(None, now) else CircuitState.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One turn each `gap`, and `burst` of them after a pause; those up to now are earned at `earned_at`.

    A token bucket that keeps one moment instead of a count: the generic cell rate algorithm (ITU-T I.371).
    """

    gap: timedelta
    burst: int
    earned_at: datetime

    def room(self, now: datetime) -> int:
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
    """One who wants to ask, since when, and when what he holds ends (None: never, or nothing is held).

    `failures` are his own since the endpoint went away; `called_at` is when he was told that it's his turn.
    """

    name: str
    since: datetime
    ends_at: datetime | None = None
    failures: int = 0
    called_at: datetime | None = None

    def lapsed(self, now: datetime) -> bool:
        """Whether he was called, and didn't come."""
        return self.called_at is not None and not self.called_at <= now < self.called_at + LAPSE

    def rank(self, now: datetime) -> tuple[bool, int, datetime, datetime]:
        """The smallest goes first."""
        return self.lapsed(now), self.failures, self.ends_at or _NO_END, self.since


def room(circuit: Circuit, bucket: Bucket, *, asking: int, concurrency: int, now: datetime) -> int:
    """How many more may ask now, besides those who are."""
    return max(0, min((concurrency if circuit.is_closed else 1) - asking, bucket.room(now)))


def admitted(line: Collection[Waiting], circuit: Circuit, *, room: int, now: datetime) -> list[Waiting]:
    """Those for whom there is room, the neediest first."""
    may = (waiting for waiting in line if circuit.lets(waiting.ends_at, now))
    return nsmallest(room, may, key=lambda waiting: waiting.rank(now))


def next_look(line: Collection[Waiting], circuit: Circuit, bucket: Bucket, *, now: datetime) -> datetime | None:
    """When time alone can change who is admitted; None if nobody waits."""
    moments = [circuit.until(waiting.ends_at) for waiting in line]
    moments += [waiting.called_at + LAPSE for waiting in line if waiting.called_at]
    return min((at for at in (*moments, bucket.opens_at(now)) if at and at > now), default=None) if line else None
