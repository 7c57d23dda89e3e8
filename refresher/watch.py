"""Says that a local file, or something in a local directory, has changed. The only file that knows watchdog.

    inotify event, or a directory that looks different --joined until it's quiet--> changed()

Directories are watched, never files: behind a `..data` swap a file's own watch reports nothing. So of a file its
directory is watched, and an event there makes us look whether it is another file now. Watches are not recursive. What
inotify doesn't see (a directory that comes, goes or is replaced, a link that is swapped, a file system without events),
a look at each path every few seconds does.
"""

import logging
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from stat import S_ISDIR
from threading import Event, Thread
from typing import NamedTuple

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

_log = logging.getLogger(__name__)

SETTLE = timedelta(milliseconds=200)
"""So long it has to be quiet."""
LONGEST = timedelta(seconds=2)
"""So long a burst is joined at the most."""
LOOK = timedelta(seconds=2)
"""So often the directories themselves are looked at."""

# Without opening and reading: whoever reads the directory because of a change would be told of a change.
_CHANGES: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]


_Identity = tuple[Path, int, int]
"""Where a directory is, and its device and inode."""


class _Look(NamedTuple):
    """What is there: where it really is, which it is, when it changed, its mode, and which directory tells of that."""

    path: Path
    device: int
    inode: int
    changed: int
    mode: int
    watched: _Identity
    is_directory: bool


class Watch:
    """Calls `changed` from a thread of its own after each burst of changes in any directory, or of any file.

    None of the paths has to exist. If the system can't give a watch, that is logged and the looks go on, `look` apart.
    """

    def __init__(self, paths: Iterable[Path], changed: Callable[[], None], *, look: timedelta = LOOK) -> None:
        self._paths = tuple(paths)
        self._changed = changed
        self._look = look.total_seconds()
        self._looks: dict[Path, _Look | None] = {}
        self._events: _Events | None = None
        self._noticed = Event()
        self._stopped = Event()

    def start(self) -> None:
        """Begin; what there is now isn't a change."""
        try:
            self._events = _Events(self._noticed.set)
        except OSError as error:  # as fs.inotify.max_user_instances is shared by all pods of a node
            _log.warning("no file events to be had (%s): looking every %g s", error.strerror, self._look)
        self._look_again()
        Thread(target=self._run, name="watch", daemon=True).start()

    def stop(self) -> None:
        """End, without waiting for a `changed` that is being called."""
        self._stopped.set()
        self._noticed.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            noticed = self._noticed.wait(self._look)
            if noticed:
                self._settle()
            if self._stopped.is_set():
                break  # nobody wants to know any more that something is gone
            # After settling and before telling: what changes from now on is told once more.
            differs = self._look_again()
            if (differs or (noticed and self._any_directory())) and not self._stopped.is_set():
                self._tell()
        if self._events:
            self._events.stop()

    def _any_directory(self) -> bool:
        """Whether an event alone says enough: next to a file, others may come and go."""
        return any(look and look.is_directory for look in self._looks.values())

    def _settle(self) -> None:
        deadline = time.monotonic() + LONGEST.total_seconds()
        while self._noticed.is_set() and time.monotonic() < deadline:
            self._noticed.clear()
            if self._stopped.wait(SETTLE.total_seconds()):
                return
        self._noticed.clear()

    def _tell(self) -> None:
        try:
            self._changed()
        except Exception:  # noqa: BLE001 - whatever it was, the next change has to be told too
            _log.exception("what follows a change failed unexpectedly")

    def _look_again(self) -> bool:
        """Whether anything differs from how it last looked; what is there is watched from now on."""
        looks = {path: _look_at(path) for path in self._paths}
        for path in [path for path, look in looks.items() if look is None]:
            if path not in self._looks or self._looks[path]:
                _log.warning("%s is not there: looking for it every %g s", path, self._look)
        if self._events:
            # Where a file is missing, the directory that it may come back to.
            watched = [look.watched if look else _around(path) for path, look in looks.items()]
            self._events.watch({identity for identity in watched if identity})
        differs, self._looks = looks != self._looks, looks
        return differs


class _Events(FileSystemEventHandler):
    """The system's file events of some directories."""

    def __init__(self, noticed: Callable[[], None]) -> None:
        self._noticed = noticed
        self._watches: dict[_Identity, ObservedWatch] = {}
        self._refused: set[_Identity] = set()
        self._observer = Observer()
        self._observer.start()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, for each event."""
        self._noticed()

    def watch(self, wanted: set[_Identity]) -> None:
        """Watch these directories and no others."""
        # A directory can come back with the inode it had, and then only its watch tells that it was away: it has ended.
        alive = {emitter.watch for emitter in self._observer.emitters if emitter.is_alive()}
        for identity, watch in list(self._watches.items()):
            if identity not in wanted or watch not in alive:
                self._observer.unschedule(self._watches.pop(identity))
        for identity in wanted - self._watches.keys():
            self._add(identity)
        self._refused &= wanted

    def stop(self) -> None:
        """Watch nothing more."""
        self._observer.stop()

    def _add(self, identity: _Identity) -> None:
        path = identity[0]
        try:
            self._watches[identity] = self._observer.schedule(self, path, event_filter=_CHANGES)
        except (OSError, RuntimeError) as error:  # no watches or threads left, no right to it, or gone by now
            if identity not in self._refused:
                _log.warning("%s can't be watched (%s): looking at it now and then", path, error)
            self._refused.add(identity)


def _look_at(path: Path) -> _Look | None:
    try:
        # A watch isn't followed through a link: a directory that is one has to be watched where it really is.
        there = path.resolve(strict=True)
        facts = there.stat()
        is_directory = S_ISDIR(facts.st_mode)
        identity = _identity(there) if is_directory else _identity(path.parent)
    except (OSError, RuntimeError):
        return None
    return _Look(there, facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_mode, identity, is_directory)


def _around(path: Path) -> _Identity | None:
    try:
        return _identity(path.parent)
    except (OSError, RuntimeError):
        return None


def _identity(path: Path) -> _Identity:
    directory = path.resolve(strict=True)
    facts = directory.stat()
    return directory, facts.st_dev, facts.st_ino
