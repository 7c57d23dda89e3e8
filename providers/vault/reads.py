"""One request for all who read the same path: what is in flight, or was asked a moment ago, answers them too."""

import copy
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from providers.vault.connection import Answer
from providers.vault.login import Login
from refresher.errors import RefresherError, TransientError


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The API path to read, and whether a KV version 2 engine answers there."""

    path: str
    versioned: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What was answered there, to whose token, and when it was asked for."""

    endpoint: Endpoint
    answer: Answer
    login: Login
    asked_at: datetime

    @property
    def is_leased(self) -> bool:
        """Whether it was made for the one who asked, and ends when he ends it."""
        return bool(self.answer.body.get("lease_id"))


@dataclass(frozen=True, slots=True)
class _Try:
    """How one request ended; moments of the monotonic clock, which nobody can set back and make old answers new."""

    result: Reading | RefresherError
    asked: float
    ended: float

    def serves(self, wanted: float, fresh_for: float) -> bool:
        """Whether it's an answer to one who wanted to know at `wanted`, and would take what is `fresh_for` old."""
        if isinstance(self.result, TransientError):
            return self.ended > wanted  # else ten who waited for a server that hangs wait for it one after another
        found = isinstance(self.result, Reading) and self.result.answer.status < 400
        return self.asked > wanted - (fresh_for if found else 0)

    def given(self) -> Reading:
        """The reading, or the error raised anew."""
        if isinstance(self.result, RefresherError):
            raise copy.copy(self.result) from self.result
        return self.result


@dataclass(slots=True)
class _Path:
    """What is known of a path: how many registered for it, how many want it now, and the last try."""

    flight: threading.Lock = field(default_factory=threading.Lock)
    readers: int = 0
    waiting: int = 0
    longest: float = 0.0
    leased: bool = False
    last: _Try | None = None


class Reads:
    """The reads of one session, by whatever tells paths apart. Thread-safe.

    Only paths with several readers are shared. An answer may hold a secret: it is kept while somebody waits or it is
    fresh enough for the most patient of its readers, and dropped at the end of the first read of any path after that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[Hashable, _Path] = {}

    def register(self, key: Hashable) -> None:
        """One more will read it."""
        with self._lock:
            self._paths.setdefault(key, _Path()).readers += 1

    def unregister(self, key: Hashable) -> None:
        """One of them will no more."""
        with self._lock:
            self._paths[key].readers -= 1
            if not self._paths[key].readers:
                del self._paths[key]

    def read(self, key: Hashable, ask: Callable[[], Reading], fresh_for: timedelta) -> Reading:
        """What `ask` answers, or an equally good answer that somebody else was given."""
        path, seconds = self._paths[key], fresh_for.total_seconds()
        if path.readers > 1 and not path.leased:
            with self._wanting(path, seconds) as wanted, path.flight:
                # Another reader can have found out meanwhile that each needs one of his own.
                if not path.leased:
                    return _shared(path, ask, wanted, seconds)
        return ask()

    @contextmanager
    def _wanting(self, path: _Path, seconds: float) -> Iterator[float]:
        with self._lock:
            path.waiting, path.longest = path.waiting + 1, max(path.longest, seconds)
        try:
            yield time.monotonic()
        finally:
            with self._lock:
                path.waiting -= 1
                self._forget(time.monotonic())

    def _forget(self, now: float) -> None:
        for path in self._paths.values():
            if path.last and not path.waiting and path.last.asked + path.longest <= now:
                path.last = None


def _shared(path: _Path, ask: Callable[[], Reading], wanted: float, seconds: float) -> Reading:
    if path.last is None or not path.last.serves(wanted, seconds):
        path.last = None
        path.last = _asked(ask)
    last = path.last
    if isinstance(last.result, Reading) and last.result.is_leased:
        path.leased, path.last = True, None
    return last.given()


def _asked(ask: Callable[[], Reading]) -> _Try:
    asked = time.monotonic()
    try:
        result: Reading | RefresherError = ask()
    except RefresherError as error:
        result = error
    return _Try(result, asked, time.monotonic())
