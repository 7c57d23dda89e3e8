"""Tells the app of one asset's visible generation, again and again until it has heard, without ever fetching for it."""

import logging
from collections.abc import Callable
from datetime import datetime
from threading import Lock
from typing import Protocol

from refresher.cycle import Told, tell
from refresher.due import Due, backoff, unit
from refresher.errors import RefresherError
from refresher.model import Asset, Clock, Outcome
from refresher.notify import Telling, untold
from refresher.record import Record

log = logging.getLogger("refresher")


class Clockwork(Protocol):
    """Runs one action a key at a moment; the latest call for a key wins."""

    def at(self, key: str, when: datetime, action: Callable[[], None]) -> None:
        """Arm the key."""
        ...


class Reporter(Protocol):
    """Hears of everything that happens: the log and the metrics."""

    def refreshed(self, outcome: Outcome, due: Due | None) -> None:
        """A refresh or a rollback ended; the next refresh is due then."""
        ...

    def told(self, asset: Asset, telling: Telling) -> None:
        """One attempt to tell ended."""
        ...


class Teller:
    """Tells of one asset."""

    def __init__(
        self,
        record: Record,
        *,
        clockwork: Clockwork,
        clock: Clock,
        seed: str,
        reporter: Reporter,
    ) -> None:
        self._record, self._clockwork, self._clock, self._seed, self._reporter = (
            record,
            clockwork,
            clock,
            seed,
            reporter,
        )
        self._lock = Lock()
        self._failures = 0

    def tell(self) -> bool:
        """Try everybody who hasn't been told of the visible generation once; whether all have heard now."""
        with self._lock:
            try:
                told = tell(self._record.asset, clock=self._clock)
            except RefresherError as error:
                log.warning("%s: telling: %s", self._record.asset.name, error, extra={"asset": self._record.asset.name})
            else:
                self._note(told)
            return self._all_heard()

    def soon(self) -> None:
        """Tell at the next opportunity, in an action of its own."""
        self._clockwork.at(self._key, self._clock(), self._again)

    def _note(self, told: Told) -> None:
        self._record.holds(told.holding)
        for telling in told.tellings:
            self._reporter.told(self._record.asset, telling)
        if told.rolled_back:
            self._record.rolled_back(told.rolled_back, told.holding)
            self._reporter.refreshed(told.rolled_back, None)

    @property
    def _key(self) -> str:
        return f"tell {self._record.asset.name}"

    def _again(self) -> None:
        self.tell()

    def _all_heard(self) -> bool:
        holding = self._record.holding
        if holding.current is None or not untold(self._record.asset, holding.current, holding.ledger):
            self._failures = 0
            return True
        self._failures += 1
        draw = unit(self._seed, self._record.asset.name, "tell", self._failures)
        self._clockwork.at(self._key, self._clock() + backoff(self._failures, draw), self._again)
        return False
