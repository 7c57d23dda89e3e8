"""The turns in which assets ask one server, and the pause that all of them make while it doesn't answer.

Who may ask is `circuit`'s arithmetic; here stand those who wait, and those who were let in. No thread is held up here:
who has to wait is woken when it is his turn, and asks for it again.
"""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from types import TracebackType
from typing import Self
from weakref import WeakSet, WeakValueDictionary

from refresher import able
from refresher.circuit import ANY_TIME, Bucket, Circuit, Need, Waiting, admitted, free, next_call
from refresher.model import Asset, Budget, Clock
from refresher.state import EndpointState
from refresher.term import Clockwork

log = logging.getLogger("refresher")

CERTAIN = 2
"""Assets that found nobody before it is said: one alone may have trouble of its own."""

Wake = Callable[[], None]
"""Tells one who waits that it's his turn; called from any thread."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The endpoint answered as it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """Nobody answered, or everybody was asked for a pause: the so many-th failure in a row of who had the turn.

    `draw` and `retry_after` are as for `Circuit.failed`. `asset` is whose failure it is, if the turn has another name.
    """

    at: datetime
    failures: int
    draw: float
    asset: str = ""
    retry_after: timedelta | None = None
    need: Need = ANY_TIME


class Turn:
    """The right to ask an endpoint once: until something was learned of it, or the context ends."""

    def __init__(self, endpoint: "Endpoint", name: str, epoch: int) -> None:
        self._endpoint, self.name, self.epoch = endpoint, name, epoch
        self._is_over = False

    def __enter__(self) -> Self:
        """Nothing: the turn began when it was given."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give it back, if it isn't over."""
        self._end(None)

    def answered(self) -> None:
        """What is still to come of the answer needs no turn."""
        self._end(Answered())

    def failed(self, how: Unavailable) -> None:
        """It is the endpoint's failure; without effect if it had answered, and broke off later."""
        self._end(how)

    def _end(self, learned: Answered | Unavailable | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._endpoint.take_back(self, learned)


class Endpoint:
    """One server, and who wants to ask it. Thread-safe; `address` is empty for an asset whose source names none."""

    def __init__(self, address: str, budget: Budget, *, clockwork: Clockwork, clock: Clock) -> None:
        self.address, self._clockwork, self._clock = address, clockwork, clock
        # Those without an address are one each: under one key, the latest of them would take the others' look.
        self._key = f"turns {address or id(self)}"
        self._concurrency = budget.concurrency
        self._bucket = Bucket(gap=timedelta(seconds=1) / budget.per_second, burst=budget.burst, earned_at=clock())
        self._lock = Lock()
        self._asking = 0
        self._line: dict[str, Waiting] = {}
        self._wakes: dict[str, Wake] = {}
        self._hands: dict[str, Wake] = {}  # who asks by hand while as many ask as may at the most
        self._epoch = 0  # another one whenever something is learned: who began to ask before that has nothing to add
        self._circuit, self._failing_since = Circuit(), clock()
        self._failures: Counter[str] = Counter()  # each asset's, since it went away
        self._witnesses: set[str] = set()  # those whose attempts told something new
        self._stricken: dict[str, Waiting] = {}  # whose failures in a row are all among these

    def allow(self, budget: Budget) -> None:
        """Other limits from now on."""
        gap = timedelta(seconds=1) / budget.per_second
        with self._lock:
            self._concurrency = budget.concurrency
            self._bucket = replace(self._bucket, gap=gap, burst=budget.burst)
        self._call()

    def turn(self, name: str, *, need: Need, wake: Wake) -> Turn | None:
        """A turn; None: the asset stands in line, and is woken to ask again."""
        now = self._clock()
        with self._lock:
            since = self._line[name].since if name in self._line else now
            waiting = Waiting(name=name, since=since, need=need, failures=self._failures[name])
            self._line[name], self._wakes[name] = waiting, wake
            given = self._given(name, now) if waiting in self._admitted(now) else None
        self._call()
        return given

    def turn_by_hand(self, name: str, *, wake: Wake) -> Turn | None:
        """A turn before all who wait, and whether or not it answers; None: as many ask as may, and he is woken.

        Else a signal for a thousand assets, while their server hangs, would leave no thread for those of others.
        """
        with self._lock:
            if self._asking < self._concurrency:
                return self._given(name, self._clock())
            self._hands[name] = wake
            return None

    def take(self, name: str) -> Turn:
        """A turn at once, whoever waits and however many ask."""
        with self._lock:
            return self._given(name, self._clock())

    def take_back(self, turn: Turn, learned: Answered | Unavailable | None) -> None:
        """A turn is over."""
        with self._lock:
            self._asking -= 1
            self._learn(turn, learned)
        self._call()

    def hear(self, turn: Turn, learned: Answered | Unavailable) -> None:
        """What came of asking, long after the turn was over."""
        with self._lock:
            self._learn(turn, learned)
        self._call()

    def leave(self, name: str) -> None:
        """Forget one who won't ask any more."""
        with self._lock:
            for each in (self._line, self._wakes, self._hands, self._failures, self._stricken):
                each.pop(name, None)
        self._call()

    def until(self, need: Need = ANY_TIME) -> datetime | None:
        """When one may ask who needs it so; None while it is asked without a pause."""
        with self._lock:
            return self._circuit.until(need)

    def state(self) -> EndpointState | None:
        """How it stands; None if it is no server."""
        if not self.address:
            return None
        with self._lock:
            circuit = self._circuit
        state = circuit.state(self._clock())
        return EndpointState(address=self.address, circuit=state, until=circuit.until(), failures=circuit.failures)

    def _admitted(self, now: datetime) -> list[Waiting]:
        most = free(self._circuit, self._bucket, asking=self._asking, concurrency=self._concurrency, now=now)
        return admitted(self._line.values(), self._circuit, most=most, now=now)

    def _given(self, name: str, now: datetime) -> Turn:
        self._line.pop(name, None)
        self._hands.pop(name, None)
        self._asking += 1
        self._bucket = self._bucket.spent(now)
        return Turn(self, name, self._epoch)

    def _call(self) -> None:
        """Wake those whose turn it is, and do so again when time alone changes who they are."""
        now = self._clock()
        with self._lock:
            called = [each for each in self._admitted(now) if each.called_at is None or each.lapsed(now)]
            self._line |= {each.name: replace(each, called_at=now) for each in called}
            wakes = [*self._called_by_hand(), *(self._wakes[each.name] for each in called)]
            # Armed under the lock: the latest call wins, and must not be that of one who knew less.
            if at := next_call(self._line.values(), self._circuit, self._bucket, now=now):
                self._clockwork.at(self._key, at, self._call)
        for wake in wakes:
            wake()

    def _called_by_hand(self) -> list[Wake]:
        """Whoever has asked again by then, and found no room, is called again."""
        names = list(self._hands)[: max(0, self._concurrency - self._asking)]
        return [self._hands.pop(name) for name in names]

    def _learn(self, turn: Turn, learned: Answered | Unavailable | None) -> None:
        match learned:
            case Answered():
                self._answers(turn)
            case Unavailable():
                self._fails(turn, learned)

    def _answers(self, turn: Turn) -> None:
        """The others who failed with it may ask now, whatever their own back-off; but not all at once."""
        if self._circuit.is_closed:
            return
        now = self._clock()
        if self._circuit.failures >= CERTAIN:
            self._say(logging.INFO, "answers again", failing_for=now - self._failing_since)
        self._circuit, self._bucket = Circuit(), self._bucket.emptied(now)
        self._stricken.pop(turn.name, None)  # it has just asked
        self._line = self._stricken | self._line
        self._stricken = {}
        self._failures.clear()
        self._witnesses.clear()
        self._epoch += 1

    def _fails(self, turn: Turn, how: Unavailable) -> None:
        """Those who asked side by side learned it together, and that counts once."""
        self._failures[turn.name] += 1
        # Who asked by hand, and never stood in line, can't be woken either.
        if turn.name in self._wakes and self._failures[turn.name] == how.failures:
            self._stricken[turn.name] = Waiting(name=turn.name, since=how.at, need=how.need)
        if turn.epoch != self._epoch:
            return
        before, self._epoch = self._circuit, self._epoch + 1
        self._failing_since = how.at if before.is_closed else self._failing_since
        self._witnesses.add(how.asset or turn.name)
        found = len(self._witnesses)
        self._circuit = before.failed(how.at, failures=found, draw=how.draw, retry_after=how.retry_after)
        if before.failures < CERTAIN <= self._circuit.failures:
            self._say(logging.WARNING, "doesn't answer: until it does, one asset at a time asks it")

    def _say(self, level: int, what: str, **facts: object) -> None:
        if self.address:
            facts |= {"endpoint": self.address, "failures": self._circuit.failures}
            log.log(level, "%s %s", self.address, what, extra=facts)


class Endpoints:
    """The servers of this process, each for as long as somebody keeps it."""

    def __init__(self, budget: Budget, *, clockwork: Clockwork, clock: Clock) -> None:
        self._budget, self._clockwork, self._clock = budget, clockwork, clock
        self._known: WeakValueDictionary[str, Endpoint] = WeakValueDictionary()
        self._all: WeakSet[Endpoint] = WeakSet()
        self._lock = Lock()

    def allow(self, budget: Budget) -> None:
        """Other limits from now on, for all servers."""
        with self._lock:
            self._budget, known = budget, list(self._all)
        for endpoint in known:
            endpoint.allow(budget)

    def of(self, asset: Asset) -> Endpoint:
        """The one that its source names; one of its own if it names none."""
        address = able.endpoint(asset.provider)
        with self._lock:
            known = self._known.get(address) or self._made(address)
            if address:
                self._known[address] = known
            return known

    def _made(self, address: str) -> Endpoint:
        made = Endpoint(address, self._budget, clockwork=self._clockwork, clock=self._clock)
        self._all.add(made)
        return made
