"""The terms of one fetch: how long it may take, how fast it may go, over how many connections; and what has come."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Lock

from refresher.model import Limits
from refresher.traffic import Progress, Throttle, Traffic
from refresher.transfer.pace import Pace

FAST = 128 * 1024 * 1024
"""Bytes a second of a connection that needs no help: half again what one to S3 gives (85 to 90 MB/s, says AWS)."""


class GivenUp(Exception):  # noqa: N818 - nobody's error: another file's is the reason
    """The fetch has failed, and what is still coming is not wanted any more."""


@dataclass(slots=True)
class Terms:
    """Shared by all connections of one fetch; of those beyond the first, nobody uses `free` at the moment.

    One that is slower than `fast` bytes a second gets help from those.
    """

    limits: Limits
    timeout: timedelta
    traffic: Traffic
    progress: Progress
    free: int = 0
    fast: int = FAST
    _over: Event = field(default_factory=Event)
    _throttle: Throttle = field(init=False)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._throttle = Throttle(self.limits.max_rate)

    @property
    def given_up(self) -> bool:
        """Whether the fetch has failed, so that nobody wants what still comes."""
        return self._over.is_set()

    def give_up(self) -> None:
        """Have every connection stop at its next bytes."""
        self._over.set()

    def pace(self) -> Pace:
        """The pace of one more connection."""
        return Pace(timeout=self.timeout.total_seconds(), min_rate=self.limits.min_rate)

    def count(self, received: int) -> None:
        """Add bytes, and wait if a limit wants that. Raises GivenUp once the fetch has failed."""
        used = self.progress.add(received)
        for throttle in (self._throttle, self.traffic.throttle):
            throttle.spend(received, used=used, wait=self._over.wait)
        if self.given_up:
            raise GivenUp

    @contextmanager
    def taken(self, wanted: int) -> Iterator[int]:
        """As many of the wanted connections as are free."""
        with self._lock:
            granted = min(wanted, self.free)
            self.free -= granted
        try:
            yield granted
        finally:
            with self._lock:
                self.free += granted
