"""A file by which an app without HTTP asks for a refresh: it makes or touches it, and waits until it is gone.

    made or touched --heard--> ask --all have ended--> removed

It is removed only once the refreshes that it asked for have ended, so that a wish outlives a restart. Whoever may write
there may put anything in its place: it is looked at without following a link, and never opened.
"""

import logging
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from threading import Lock, Timer, current_thread
from typing import NamedTuple

from refresher.filenames import OURS
from refresher.model import Outcome
from refresher.ratelimit import RateLimit, of_wishes
from refresher.volume import Directory

log = logging.getLogger("refresher")

Ask = Callable[[], Sequence[Future[Outcome]]]
"""Asks for refreshes; each future is done once its refresh has ended."""


class _Wish(NamedTuple):
    """One making or touching of the file: another one has other facts."""

    device: int
    inode: int
    modified: int


class TriggerFile:
    """Asks for each wish, a burst at once and then one a second. `root`, above `path`, is where links are trusted."""

    def __init__(self, path: Path, ask: Ask, *, root: Path, limit: RateLimit | None = None) -> None:
        self.path, self._ask, self._root = path, ask, root
        self._limit = limit or of_wishes()
        self._heard: _Wish | None = None
        self._warned: str | None = None
        self._later: Timer | None = None
        self._looking = Lock()
        self._stopped = False

    def look(self) -> None:
        """See whether there is a wish, and ask; to be called when something changed in the directory."""
        with self._looking:
            wish = self._wish()
            if wish is None or wish == self._heard or self._stopped or self._too_soon():
                return
            self._heard = wish
        self._follow_up(self._ask(), wish)

    def stop(self) -> None:
        """Hear nothing more; what was asked for goes on."""
        with self._looking:
            self._stopped = True
            if self._later:
                self._later.cancel()

    def _too_soon(self) -> bool:
        """Whether it has to wait for its turn; then it looks again by itself."""
        if self._later and self._later.is_alive() and self._later is not current_thread():
            return True
        seconds = self._limit.wait("")
        if seconds > 0:
            self._later = Timer(seconds, self.look)
            self._later.daemon = True
            self._later.start()
            return True
        self._limit.spend("")
        return False

    def _follow_up(self, asked: Sequence[Future[Outcome]], wish: _Wish) -> None:
        ended = count(1)

        def one_ended(_: Future[Outcome]) -> None:
            if next(ended) == len(asked):
                self._answer(wish)

        for future in asked:
            future.add_done_callback(one_ended)

    def _answer(self, wish: _Wish) -> None:
        """Remove the file, unless it was touched meanwhile: that is another wish, and was heard or will be."""
        name, heard = self.path.name, f"{OURS}{self.path.name}.heard"
        if self._stopped or self._wish() != wish:
            return
        try:
            with self._directory() as directory:
                # Renamed first: what is made between a last look and an unlink would be removed without being heard.
                directory.rename(name, heard)
                if _facts(directory.status(heard)) == wish:
                    directory.remove(heard)
                else:
                    directory.rename(heard, name)
        except OSError as error:
            self._warn(f"can't be removed ({error.strerror}): touch it to ask again")

    def _wish(self) -> _Wish | None:
        try:
            with self._directory() as directory:
                status = directory.status(self.path.name)
        except OSError:  # its directory isn't there, or isn't one: the watch says so
            return None
        if status and stat.S_ISDIR(status.st_mode):
            self._warn("is a directory, and asks for nothing")
            return None
        return _facts(status)

    @contextmanager
    def _directory(self) -> Iterator[Directory]:
        with ExitStack() as opened:
            directory = opened.enter_context(Directory.at(self._root))
            for part in self.path.parent.relative_to(self._root).parts:
                directory = opened.enter_context(directory.child(part))
            yield directory

    def _warn(self, what: str) -> None:
        if what != self._warned:
            log.warning("the trigger file %s %s", self.path, what)
        self._warned = what


def _facts(status: os.stat_result | None) -> _Wish | None:
    return _Wish(status.st_dev, status.st_ino, status.st_mtime_ns) if status else None
