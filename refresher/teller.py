"""Tells the app, one destination at a time, again and again until it has heard, without ever fetching for it.

A destination is a notifier with its options. Several assets that have the same one share its teller: their changes are
joined for a moment of quiet (`settle`), and the app is told once.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Protocol

from refresher.due import Due, backoff
from refresher.model import Asset, Clock, NamedNotifier, Outcome
from refresher.notify import Telling, is_owed
from refresher.record import Record
from refresher.renewal import unit
from refresher.telling import Told, tell
from refresher.term import Clockwork

LONGEST_SETTLE = 10
"""Times `settle`: how long changes that keep coming can put off a telling."""


class Reporter(Protocol):
    """Hears of everything that happens: the log and the metrics."""

    def refreshed(self, outcome: Outcome, due: Due | None) -> None:
        """A refresh or a rollback ended; the next refresh is due then."""
        ...

    def told(self, telling: Telling) -> None:
        """One attempt to tell ended."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """An asset of which a destination hears; `rolled_back` is called after the app had an earlier one put back."""

    record: Record
    rolled_back: Callable[[], None]


class Tellers:
    """All destinations, and which assets each of them hears of."""

    def __init__(self, *, clockwork: Clockwork, clock: Clock, seed: str, reporter: Reporter) -> None:
        self._clockwork, self._clock, self._seed, self._reporter = clockwork, clock, seed, reporter
        self._lock = Lock()  # held for moments, while destinations come and go
        self._tellers: dict[str, Teller] = {}

    def join(self, record: Record, *, rolled_back: Callable[[], None]) -> None:
        """Tell of this asset, too. `rolled_back` is called after the app had an earlier generation put back."""
        member = Member(record, rolled_back)
        with self._lock:
            for key, named in {named.key: named for named in record.asset.notifiers}.items():
                if key not in self._tellers:
                    self._tellers[key] = self._teller(named)
                self._tellers[key].members += (member,)

    def leave(self, record: Record) -> Future[bool]:
        """Tell of this asset no more. Done once no telling of it is under way."""
        with self._lock:
            tellers = self._of(record.asset)
            left = [teller.leave(record) for teller in tellers]
            for teller in tellers:
                if not teller.members:
                    self._tellers.pop(teller.key).end()
        return all_true(left)

    def changed(self, asset: Asset) -> Future[bool]:
        """Tell of the asset's visible generation. Done when all its destinations were tried: whether all have heard."""
        return all_true([teller.changed() for teller in self._of(asset)])

    def remind(self, asset: Asset) -> None:
        """Tell whoever hasn't been told of the visible generation and waits for no further attempt."""
        for teller in self._of(asset):
            teller.remind()

    def _of(self, asset: Asset) -> list["Teller"]:
        """Those that are left, of an asset whose last telling ends while it leaves."""
        keys = dict.fromkeys(named.key for named in asset.notifiers)
        # One look each: who changes the configuration takes them away meanwhile.
        return [teller for key in keys if (teller := self._tellers.get(key))]

    def _teller(self, named: NamedNotifier) -> "Teller":
        return Teller(named, clockwork=self._clockwork, clock=self._clock, seed=self._seed, note=self._note)

    def _note(self, member: Member, told: Told) -> None:
        record = member.record
        record.holds(told.holding)
        self._reporter.told(told.telling)
        if told.rolled_back:
            record.rolled_back(told.rolled_back, told.holding)
            self._reporter.refreshed(told.rolled_back, None)
            member.rolled_back()
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
        note: Callable[[Member, Told], None],
    ) -> None:
        self.members: tuple[Member, ...] = ()
        self._named, self._clockwork, self._clock, self._seed, self._note = named, clockwork, clock, seed, note
        self._telling = Lock()  # held while the app is told
        self._lock = Lock()  # held for moments, over what follows
        self._waiting: list[Future[bool]] = []
        self._leaving: list[Future[bool]] = []
        self._busy = False
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

    @property
    def key(self) -> str:
        """What tells the destination apart."""
        return self._named.key

    def leave(self, record: Record) -> Future[bool]:
        """Tell of this one no more. Done once no attempt that may tell of it is under way."""
        left: Future[bool] = Future()
        with self._lock:
            self.members = tuple(member for member in self.members if member.record is not record)
            busy = self._busy
            if busy:
                self._leaving.append(left)
        if not busy:
            left.set_result(True)
        return left

    def end(self) -> None:
        """Nobody is left to tell of."""
        with self._lock:
            self._clockwork.cancel(f"tell {self.key}")
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.set_result(False)

    def _settle(self) -> None:
        settle, now = max(member.record.asset.settle for member in self.members), self._clock()
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
                self._clockwork.at(f"tell {self.key}", min(moments), self._tell)

    def _tell(self) -> None:
        with self._telling:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                self._settling_since = self._settled_at = self._retry_at = None
                self._busy = True
            heard = False
            try:
                heard = self._attempt()
            finally:
                self._plan(heard=heard)
                with self._lock:
                    self._busy = False
                    leaving, self._leaving = self._leaving, []
                for future in waiting:
                    future.set_result(heard)
                for left in leaving:
                    left.set_result(True)

    def _attempt(self) -> bool:
        by_name = {member.record.asset.name: member for member in self.members}
        assets = [member.record.asset for member in by_name.values()]
        for told in tell(self._named, assets, clock=self._clock):
            self._note(by_name[told.telling.asset], told)
        return not self._owes()

    def _owes(self) -> bool:
        return any(is_owed(self._named, member.record.holding) for member in self.members)

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
