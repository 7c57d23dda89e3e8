"""A keeper's time in office: what it may have the clockwork do, from when its place is free until its asset changes.

Before it begins, what is armed waits. After its end nothing begins any more; when what was under way then is over, the
next keeper may touch the same files.
"""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from threading import Lock
from typing import Protocol


class Clockwork(Protocol):
    """Runs one action a key at a moment; the latest call for a key wins."""

    def at(self, key: str, when: datetime, action: Callable[[], None]) -> None:
        """Arm the key."""
        ...

    def cancel(self, key: str) -> None:
        """Forget what the key is armed for."""
        ...


class Term:
    """A clockwork that takes no more than one keeper's actions, and knows when the last of them is over."""

    def __init__(self, clockwork: Clockwork) -> None:
        self._clockwork = clockwork
        self._lock = Lock()
        self._begun = self._ended = False
        self._armed: dict[str, tuple[datetime, Callable[[], None]]] = {}
        self._running = 0
        self._over: Future[None] = Future()

    def begin(self) -> None:
        """From now on what is armed runs, and what was armed before, too."""
        with self._lock:
            self._begun = True
            for key, (when, action) in self._armed.items():
                self._clockwork.at(key, when, action)

    def end(self) -> Future[None]:
        """Begin nothing more. Done once nothing runs any more, which may be now."""
        with self._lock:
            self._ended = True
            for key in self._armed:
                self._clockwork.cancel(key)
            self._armed.clear()
            idle = not self._running
        if idle:
            self._over.set_result(None)
        return self._over

    def at(self, key: str, when: datetime, action: Callable[[], None]) -> None:
        """Run the action at that moment, unless the term ends before; the latest call for a key wins."""
        # Under the lock: armed after the end had cancelled all keys, it would take the place of the next keeper's.
        with self._lock:
            if self._ended:
                return
            guarded = partial(self.act, action)
            self._armed[key] = (when, guarded)
            if self._begun:
                self._clockwork.at(key, when, guarded)

    def act(self, action: Callable[[], None]) -> None:
        """Do it now, in this thread, if the term has begun and not ended."""
        if self._enter():
            self._finish(action)

    def surely(self, key: str, when: datetime, action: Callable[[], None]) -> bool:
        """Run the action at that moment even if the end is wanted before, which waits for it; False after the end."""
        may = self._enter()
        if may:
            self._clockwork.at(key, when, partial(self._finish, action))
        return may

    def _enter(self) -> bool:
        with self._lock:
            may = self._begun and not self._ended
            self._running += may
            return may

    def _finish(self, action: Callable[[], None]) -> None:
        try:
            action()
        finally:
            with self._lock:
                self._running -= 1
                last = self._ended and not self._running
            if last:
                self._over.set_result(None)
