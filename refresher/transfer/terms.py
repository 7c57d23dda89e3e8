"""The terms of one fetch: how long it may take, how fast it may go, over how many connections; and what has come."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock

from refresher.model import Limits
from refresher.traffic import Progress, Throttle, Traffic
from refresher.transfer.pace import Pace


class GivenUp(Exception):  # noqa: N818 - nobody's error: another file's is the reason
    """The fetch has failed elsewhere, and what is still coming is not wanted any more."""


@dataclass(slots=True)
class Terms:
    """Shared by all connections of one fetch; `lanes` are those more connections that nobody uses at the moment."""

    limits: Limits
    timeout: timedelta
    traffic: Traffic
    progress: Progress
    lanes: int = 0
    given_up: bool = False
    _throttle: Throttle = field(init=False)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._throttle = Throttle(self.limits.max_rate)

    def pace(self) -> Pace:
        """The pace of one more connection."""
        return Pace(timeout=self.timeout.total_seconds(), min_rate=self.limits.min_rate)

    def count(self, received: int) -> None:
        """Add bytes, and wait if a limit wants that. Raises GivenUp once another connection has failed."""
        if self.given_up:
            raise GivenUp
        used = self.progress.add(received)
        self._throttle.spend(received, used=used)
        self.traffic.throttle.spend(received, used=used)

    @contextmanager
    def taken(self, wanted: int) -> Iterator[int]:
        """As many of the wanted lanes as are free."""
        with self._lock:
            granted = min(wanted, self.lanes)
            self.lanes -= granted
        try:
            yield granted
        finally:
            with self._lock:
                self.lanes += granted
