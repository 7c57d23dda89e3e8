"""Tells the app, one destination at a time, again and again until it has heard, without ever fetching for it.

A destination is a notifier with its options. Several assets that have the same one share its teller: their changes are
joined for a moment of quiet (`settle`), and the app is told once.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime
from threading import Lock
from typing import Protocol

from refresher.due import Due, backoff
from refresher.model import Asset, Clock, NamedNotifier, Outcome
from refresher.notify import Telling, is_owed
from refresher.record import Record
from refresher.renewal import unit
from refresher.telling import Told, tell

LONGEST_SETTLE = 10
"""Times `settle`: how long changes that keep coming can put off a telling."""


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

    def told(self, telling: Telling) -> None:
        """One attempt to tell ended."""
        ...


class Tellers:
    """All destinations, and which assets each of them hears of. `rolled_back` hears of what an app had put back."""

    def __init__(
        self,
        records: Sequence[Record],
        *,
        clockwork: Clockwork,
        clock: Clock,
        seed: str,
        reporter: Reporter,
        rolled_back: Callable[[Asset], None],
    ) -> None:
        self._reporter, self._rolled_back = reporter, rolled_back
        self._tellers: dict[str, Teller] = {}
        for record in records:
            for named in record.asset.notifiers:
                if named.key not in self._tellers:
                    teller = Teller(named, clockwork=clockwork, clock=clock, seed=seed, note=self._note)
                    self._tellers[named.key] = teller
                self._tellers[named.key].members.append(record)

    def changed(self, asset: Asset) -> Future[bool]:
        """Tell of the asset's visible generation. Done when all its destinations were tried: whether all have heard."""
        return all_true([teller.changed() for teller in self._of(asset)])

    def remind(self, asset: Asset) -> None:
        """Tell whoever hasn't been told of the visible generation and waits for no further attempt."""
        for teller in self._of(asset):
            teller.remind()

    def _of(self, asset: Asset) -> list["Teller"]:
        return [self._tellers[named.key] for named in asset.notifiers]

    def _note(self, record: Record, told: Told) -> None:
        record.holds(told.holding)
        self._reporter.told(told.telling)
        if told.rolled_back:
            record.rolled_back(told.rolled_back, told.holding)
            self._reporter.refreshed(told.rolled_back, None)
            self._rolled_back(record.asset)
            for teller in self._of(record.asset):
                teller.soon()


class Teller:
    """Tells one destination of its `members`' visible generations."""

    def __init__(
        self,
        named: NamedNotifier,
        *,
        clockwork: Clockwork,
        clock: Clock,
        seed: str,
        note: Callable[[Record, Told], None],
    ) -> None:
        self.members: list[Record] = []
        self._named, self._clockwork, self._clock, self._seed, self._note = named, clockwork, clock, seed, note
        self._telling = Lock()  # held while the app is told
        self._lock = Lock()  # held for moments, over what follows
        self._waiting: list[Future[bool]] = []
        self._settling_since: datetime | None = None
        self._settled_at: datetime | None = None
        self._retry_at: datetime | None = None
        self._failures = 0

    def changed(self) -> Future[bool]:
        """Tell now, or after a moment of quiet where others may change too. Done when it was tried."""
        heard: Future[bool] = Future()
        with self._lock:
            self._waiting.append(heard)
        if len(self.members) == 1:
            self._tell()
        else:
            self._settle()
        return heard

    def remind(self) -> None:
        """Tell soon if somebody is owed and nothing is armed: what came into sight although its refresh failed, say."""
        # An attempt that is under way arms the next one itself: brought forward, it would have no pause before it.
        if not self._telling.locked() and self._retry_at is None and self._settled_at is None and self._owes():
            self.soon()

    def soon(self) -> None:
        """Tell at the next opportunity, in an action of its own."""
        self._retry(self._clock())

    def _settle(self) -> None:
        settle, now = max(record.asset.settle for record in self.members), self._clock()
        with self._lock:
            self._settling_since = self._settling_since or now
            self._settled_at = min(now + settle, self._settling_since + LONGEST_SETTLE * settle)
        self._arm()

    def _retry(self, when: datetime) -> None:
        with self._lock:
            self._retry_at = when
        self._arm()

    def _arm(self) -> None:
        """For the earlier of the two: a retry that is far away must not put off another asset's first telling."""
        with self._lock:
            moments = [moment for moment in (self._settled_at, self._retry_at) if moment]
            if moments:
                self._clockwork.at(f"tell {self._named.key}", min(moments), self._tell)

    def _tell(self) -> None:
        with self._telling:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                self._settling_since = self._settled_at = self._retry_at = None
            heard = False
            try:
                heard = self._attempt()
            finally:
                self._plan(heard=heard)
                for future in waiting:
                    future.set_result(heard)

    def _attempt(self) -> bool:
        by_name = {record.asset.name: record for record in self.members}
        for told in tell(self._named, [record.asset for record in self.members], clock=self._clock):
            self._note(by_name[told.telling.asset], told)
        return not self._owes()

    def _owes(self) -> bool:
        return any(is_owed(self._named, record.holding) for record in self.members)

    def _plan(self, *, heard: bool) -> None:
        if heard:
            self._failures = 0
            return
        self._failures += 1
        if self._retry_at:
            return  # a rollback armed it for now
        draw = unit(self._seed, self._named.key, "tell", self._failures)
        self._retry(self._clock() + backoff(self._failures, draw))


def all_true(futures: Iterable[Future[bool]]) -> Future[bool]:
    """Done when all of them are: whether all were true."""
    pending, result, lock = list(futures), Future[bool](), Lock()
    left = len(pending)

    def one_done(_: Future[bool]) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = left == 0
        if last:
            result.set_result(all(future.result() for future in pending))

    if not pending:
        result.set_result(True)
    for future in pending:
        future.add_done_callback(one_done)
    return result
