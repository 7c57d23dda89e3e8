"""Says that a local file, or something in a local directory, has changed. The only file that knows watchdog.

    inotify event, or something that looks different --joined until it's quiet--> changed()

Directories are watched, never files: behind a `..data` swap a file's own watch reports nothing. Of a file, those are
watched that it and the links to it are in, and an event there only makes us look whether it is another file now: what
comes and goes beside it is no news. A directory is watched with those below, and an event says enough. What inotify
doesn't see (a directory that is replaced, a link further up, a file system without events), a look at each file and
directory every few seconds does, but for what is rewritten in place inside of one: that is for the interval.

Not with watchdog's own recursion: it follows no links, has no bound, and warns of each directory made with one in it.
"""

import errno
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

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
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.inotify import InotifyEmitter

from refresher.whereabouts import MOST_WATCHED, NEVER, Look, Vantage, look_at

_log = logging.getLogger(__name__)

SETTLE = timedelta(milliseconds=200)
"""So long it has to be quiet."""
LONGEST = timedelta(seconds=2)
"""So long a burst is joined at the most."""
LOOK = timedelta(seconds=2)
"""So often everything is looked at without an event."""
PAUSE = timedelta(milliseconds=50)
"""So long there is no other look after one in vain: a neighbour that is written all the time costs 20 a second."""
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


class Watch:
    """Calls `changed` from a thread of its own after each burst of changes of any file, or in any directory.

    In a directory is also what is in its directories, unless `below` is false, or their names begin with `..`. None of
    the paths has to exist. If the system can't give a watch, that is logged and the looks go on, `look` apart.
    """

    def __init__(
        self, paths: Iterable[Path], changed: Callable[[], None], *, look: timedelta = LOOK, below: bool = True
    ) -> None:
        self._paths = tuple(paths)
        self._changed = changed
        self._look = look.total_seconds()
        self._below = below
        self._looks: dict[Path, Look] = {}
        self._warned: dict[Path, str] = {}
        self._noticed = Event()
        self._stopped = Event()

    def start(self) -> None:
        """Begin; what there is now isn't a change."""
        events = _Events(self._noticed)
        self._look_again(events)
        self._warn()
        Thread(target=self._run, args=(events,), name="watch", daemon=True).start()

    def stop(self) -> None:
        """End, without waiting for a `changed` that is being called."""
        self._stopped.set()
        self._noticed.set()

    def _run(self, events: "_Events") -> None:
        while True:
            self._noticed.wait(self._look)
            if self._stopped.is_set():
                break
            try:
                self._once(events)
            except Exception:  # noqa: BLE001 - whatever it was, who ended here would see nothing any more
                _log.exception("a look failed unexpectedly, and is made again")
                self._stopped.wait(self._look)
        events.stop()

    def _once(self, events: "_Events") -> None:
        if self._happened(events):
            self._settle(events)
            self._tell()  # unless it has been stopped: then nobody wants to know that something is gone
        else:
            self._stopped.wait(PAUSE.total_seconds())

    def _settle(self, events: "_Events") -> None:
        """Until nothing happens any more. The last look is before telling: what changes then is told once more."""
        deadline = time.monotonic() + LONGEST.total_seconds()
        while time.monotonic() < deadline:
            if self._stopped.wait(SETTLE.total_seconds()) or not self._happened(events):
                return

    def _happened(self, events: "_Events") -> bool:
        """Whether anything did since this was last asked."""
        self._noticed.clear()
        said = events.said_enough()
        return self._look_again(events) or said

    def _tell(self) -> None:
        if self._stopped.is_set():
            return
        self._warn()
        try:
            self._changed()
        except Exception:  # noqa: BLE001 - whatever it was, the next change has to be told too
            _log.exception("what follows a change failed unexpectedly")

    def _look_again(self, events: "_Events") -> bool:
        """Whether anything differs from how it last looked; what is there is watched from now on."""
        looks = {path: look_at(path, self._looks.get(path, NEVER), below=self._below) for path in self._paths}
        events.watch(_together(looks.values()))
        differs, self._looks = looks != self._looks, looks
        return differs

    def _warn(self) -> None:
        """Once for each path, until that is over."""
        wrong = {path: message for path, look in self._looks.items() if (message := self._wrong_with(look))}
        for path, message in wrong.items():
            if self._warned.get(path) != message:
                _log.warning("%s %s", path, message)
        self._warned = wrong

    def _wrong_with(self, look: Look) -> str:
        if not look.seen:
            return f"is not there: looking for it every {self._look:g} s"
        if len(look.seen) > MOST_WATCHED:
            return f"has more than {MOST_WATCHED} directories: what changes in those further down is seen later"
        return ""


class _Events:
    """The system's file events of some directories."""

    def __init__(self, noticed: Event) -> None:
        self._said_enough = Event()
        self._handlers = {False: _Handler(noticed), True: _Handler(self._said_enough, noticed)}
        self._watches: dict[Vantage, tuple[bool, ObservedWatch]] = {}
        self._refused: set[Vantage] = set()
        # Not watchdog's own choice, which opens an inotify instance for each observer: all pods of a node share 128.
        self._observer = BaseObserver(_Emitter)
        self._observer.start()

    def said_enough(self) -> bool:
        """Whether there was an event, since this was last asked, that is a change of what is watched without a look."""
        # Cleared only if it was set: what is said between asking and clearing would be lost.
        if said := self._said_enough.is_set():
            self._said_enough.clear()
        return said

    def watch(self, wanted: Mapping[Vantage, bool]) -> None:
        """Watch these directories and no others, each with whether an event there says enough."""
        # A directory can come back with the inode it had, and then only its watch tells that it was away: it has ended.
        # watchdog knows a watch by its path: of two places there, replaced while we looked, neither can be kept alone.
        alive = {emitter.watch for emitter in self._observer.emitters if emitter.is_alive()}
        doomed = {
            watch
            for place, (enough, watch) in self._watches.items()
            if wanted.get(place) is not enough or watch not in alive
        }
        for watch in doomed:
            self._observer.unschedule(watch)
        self._watches = {place: known for place, known in self._watches.items() if known[1] not in doomed}
        for place in wanted.keys() - self._watches.keys():
            self._add(place, wanted[place])
        self._refused &= wanted.keys()

    def stop(self) -> None:
        """Watch nothing more."""
        self._observer.stop()

    def _add(self, place: Vantage, enough: bool) -> None:  # noqa: FBT001 - a value of the mapping
        try:
            if not os.access(place.path, os.R_OK):  # watchdog takes EACCES for success
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            watch = self._observer.schedule(self._handlers[enough], place.path, event_filter=_CHANGES)
        except (OSError, RuntimeError) as error:  # no watches or threads left, no right to it, or gone by now
            if place not in self._refused:
                _log.warning("%s can't be watched (%s): looking at it now and then", place.path, error)
            self._refused.add(place)
        else:
            self._watches[place] = enough, watch


class _Emitter(InotifyEmitter):
    """watchdog's, that leaves nothing behind where no thread can be started: a queue that is filled, and never read."""

    def start(self) -> None:
        """Begin. Raises OSError or RuntimeError."""
        try:
            super().start()
        except RuntimeError:
            self.on_thread_stop()
            raise


class _Handler(FileSystemEventHandler):
    """Sets these, in this order, at each event."""

    def __init__(self, *events: Event) -> None:
        self._events = events

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, for each event."""
        for each in self._events:
            each.set()


def _together(looks: Iterable[Look]) -> dict[Vantage, bool]:
    """All their places, each once."""
    wanted: dict[Vantage, bool] = {}
    for look in looks:
        for place, enough in look.places.items():
            wanted[place] = enough or wanted.get(place, False)
    return wanted
