"""A source as far as a fleet's moments depend on it: how fast it answers, how much it can bear, when it is away."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a source answers.

    `latency` until an answer has come; `patience` until a request fails that was sent during an outage (0: it is
    refused at once); `capacity` is the requests that it serves a second (None: all), the others it answers 503.
    """

    latency: timedelta = timedelta(milliseconds=5)
    patience: timedelta = timedelta(0)
    capacity: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """When it came, and what it was: the number of the value's version, or None for an error."""

    at: datetime
    version: int | None


class Source:
    """Answers, and notes when it was asked. To be asked in the order of the moments."""

    def __init__(
        self,
        behaviour: Behaviour,
        *,
        began: datetime,
        outage: tuple[datetime, datetime],
        changes: Sequence[datetime] = (),
    ) -> None:
        self._behaviour, self._began, self._outage, self._changes = behaviour, began, outage, changes
        self._tokens = behaviour.capacity or 0.0
        self._asked_at = began
        self.asked = array("d")
        """When, in seconds since the beginning; each request."""
        self.failed = array("d")
        """The same, of those that were not served."""
        self.askers: list[str] = []
        """Who asked, as often as there is a moment in `asked`."""

    def ask(self, at: datetime, who: str) -> Answer:
        """One request, and what comes of it."""
        moment = (at - self._began).total_seconds()
        self.asked.append(moment)
        self.askers.append(who)
        is_away = self._outage[0] <= at < self._outage[1]
        if is_away or not self._can_bear(at):
            self.failed.append(moment)
            return Answer(at + (self._behaviour.patience if is_away else self._behaviour.latency), None)
        return Answer(at + self._behaviour.latency, sum(change <= at for change in self._changes))

    def _can_bear(self, at: datetime) -> bool:
        """Whether it can bear one more: a bucket that holds what is served in a second, and is filled as fast."""
        capacity = self._behaviour.capacity
        if capacity is None:
            return True
        waited, self._asked_at = (at - self._asked_at).total_seconds(), at
        self._tokens = min(capacity, self._tokens + waited * capacity)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
