"""What transfers use of the network, together and each, and how far they are."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

CONNECTIONS = 16
"""Connections of all assets together, beyond each one's first."""
UNTHROTTLED = 1024 * 1024
"""First bytes of a fetch that never wait for a rate limit: a certificate doesn't wait behind a model."""
MARK, MARKS = 1.0, 10
"""Seconds after which is noted what has come, and how many notes are kept: over these a transfer's rate is measured."""


@dataclass(slots=True)
class Throttle:
    """So many bytes a second (None: no limit), whoever uses them; what isn't used within a second is lost."""

    rate: int | None = None
    clock: Callable[[], float] = time.monotonic
    _free_at: float = 0.0
    _lock: Lock = field(default_factory=Lock)

    def spend(self, count: int, *, used: int, wait: Callable[[float], object]) -> None:
        """Use `count` more bytes, after `used` of the same fetch; `wait` so many seconds until they are due."""
        if self.rate is None:
            return
        with self._lock:
            now = self.clock()
            self._free_at = max(self._free_at, now - 1.0) + count / self.rate
            seconds = self._free_at - now
        if seconds > 0 and used > UNTHROTTLED:
            wait(seconds)


class Traffic:
    """The budget that all assets share. Everybody's first connection is free: nobody waits for somebody's model."""

    def __init__(self, *, connections: int = CONNECTIONS, max_rate: int | None = None) -> None:
        self.throttle = Throttle(max_rate)
        self._most = self._free = connections
        self._lock = Lock()

    def limit(self, *, connections: int, max_rate: int | None) -> None:
        """Other limits from now on, for what is on its way, too; connections that it has already stay."""
        self.throttle.rate = max_rate
        with self._lock:
            self._free += connections - self._most
            self._most = connections

    @contextmanager
    def more(self, wanted: int) -> Iterator[int]:
        """How many of the wanted connections there are besides the first, for as long as this is open."""
        with self._lock:
            granted = max(0, min(wanted, self._free))
            self._free -= granted
        try:
            yield granted
        finally:
            with self._lock:
                self._free += granted


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What is on its way: bytes that have come, of those that are to come (None: nobody says how many).

    `seconds` since it began, and `rate`, the bytes a second of late: of the last ten seconds in which any came, and of
    all the silence since. `stays`: what has come is there for the next attempt, also after a kill.
    """

    received: int
    expected: int | None
    seconds: float
    rate: float
    stays: bool = False


@dataclass(slots=True)
class Progress:
    """Bytes that have come, of those that are to come (None: nobody says how many). Written by many threads."""

    received: int = 0
    expected: int | None = 0
    stays: bool = False
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _began: float = field(default=0.0, repr=False)
    _marks: deque[tuple[float, int]] = field(default_factory=lambda: deque([(0.0, 0)], maxlen=MARKS), repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def expect(self, expected: int | None, *, stays: bool = False) -> None:
        """A transfer begins, of so many bytes; 0: none does, or it isn't known yet of how many."""
        with self._lock:
            self.received, self.expected, self._began = 0, expected, self.clock()
            self.stays = stays
            self._marks.clear()
            self._marks.append((self._began, 0))

    def expect_more(self, expected: int | None) -> None:
        """The transfer goes on: so many bytes come besides those expected so far (None: nobody says how many)."""
        with self._lock:
            self.expected = None if expected is None or self.expected is None else self.expected + expected

    def add(self, received: int) -> int:
        """More bytes came; how many that makes."""
        with self._lock:
            now = self.clock()
            if now - self._marks[-1][0] >= MARK:
                self._marks.append((now, self.received))
            self.received += received
            return self.received

    def transfer(self) -> Transfer | None:
        """The transfer under way, if there is one."""
        with self._lock:
            if self.expected == 0:
                return None
            now = self.clock()
            at, before = self._marks[0]
            return Transfer(
                received=self.received,
                expected=self.expected,
                seconds=now - self._began,
                rate=(self.received - before) / (now - at) if now > at else 0.0,
                stays=self.stays,
            )
