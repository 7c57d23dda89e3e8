"""Says that a local file, or something in a local directory, has changed. The only file that knows watchdog.

    inotify event, or something that looks different --joined until it's quiet--> changed()

Directories are watched, never files: behind a `..data` swap a file's own watch reports nothing. Of a file, those are
watched that it and the links to it are in, and an event there only makes us look whether it is another file now: what
comes and goes beside it is no news. A directory is watched with those below, and an event says enough. What inotify
doesn't see (a directory that is replaced, a link further up, a file system without events), a look at each file and
directory every few seconds does.

Not with watchdog's own recursion: it follows no links, has no bound, and warns of each directory made with one in it.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import islice
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
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.inotify import InotifyEmitter

_log = logging.getLogger(__name__)

SETTLE = timedelta(milliseconds=200)
"""So long it has to be quiet."""
LONGEST = timedelta(seconds=2)
"""So long a burst is joined at the most."""
LOOK = timedelta(seconds=2)
"""So often everything is looked at without an event."""
PAUSE = timedelta(milliseconds=50)
"""So long there is no other look after one in vain: a neighbour that is written all the time costs 20 a second."""
MOST_WATCHED = 64
"""Directories of one tree, from its top on: each costs a thread. Of more, each is looked at every few seconds."""
MOST_LOOKED_AT = 256
"""Directories of one tree: a look at so many takes 10 ms. Of more, nothing is seen."""
MOST_LINKS = 40
"""One after the other, as the kernel follows them."""

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


class _Place(NamedTuple):
    """A directory that is watched: where it really is, and which it is."""

    path: Path
    device: int
    inode: int


class _Facts(NamedTuple):
    """What is other once something was changed; of a directory, once an entry came or went."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int
    mode: int


class _Seen(NamedTuple):
    """A file or a directory, and the directories in that."""

    facts: _Facts
    directories: tuple[Path, ...] = ()


class _Look(NamedTuple):
    """What is there, by where it really is (nothing, if it isn't there).

    And the places that tell of it, each with whether an event there says enough, or only that another look is due.
    """

    seen: Mapping[Path, _Seen]
    places: Mapping[_Place, bool]


_NEVER = _Look({}, {})


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
        self._looks: dict[Path, _Look] = {}
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
            if self._happened(events):
                self._settle(events)
                self._tell()  # unless it has been stopped: then nobody wants to know that something is gone
            else:
                self._stopped.wait(PAUSE.total_seconds())
        events.stop()

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
        looks = {path: _look_at(path, self._looks.get(path, _NEVER), below=self._below) for path in self._paths}
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

    def _wrong_with(self, look: _Look) -> str:
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
        self._watches: dict[_Place, tuple[bool, ObservedWatch]] = {}
        self._refused: set[_Place] = set()
        # Not watchdog's own choice, which opens an inotify instance for each observer: all pods of a node share 128.
        self._observer = BaseObserver(InotifyEmitter)
        self._observer.start()

    def said_enough(self) -> bool:
        """Whether there was an event, since this was last asked, that is a change of what is watched without a look."""
        said = self._said_enough.is_set()
        self._said_enough.clear()
        return said

    def watch(self, wanted: Mapping[_Place, bool]) -> None:
        """Watch these directories and no others, each with whether an event there says enough."""
        # A directory can come back with the inode it had, and then only its watch tells that it was away: it has ended.
        alive = {emitter.watch for emitter in self._observer.emitters if emitter.is_alive()}
        for place, (enough, watch) in list(self._watches.items()):
            if wanted.get(place) is not enough or watch not in alive:
                self._observer.unschedule(watch)
                del self._watches[place]
        for place in wanted.keys() - self._watches.keys():
            self._add(place, wanted[place])
        self._refused &= wanted.keys()

    def stop(self) -> None:
        """Watch nothing more."""
        self._observer.stop()

    def _add(self, place: _Place, enough: bool) -> None:  # noqa: FBT001 - a value of the mapping
        try:
            watch = self._observer.schedule(self._handlers[enough], place.path, event_filter=_CHANGES)
        except (OSError, RuntimeError) as error:  # no watches or threads left, no right to it, or gone by now
            if place not in self._refused:
                _log.warning("%s can't be watched (%s): looking at it now and then", place.path, error)
            self._refused.add(place)
        else:
            self._watches[place] = enough, watch


class _Handler(FileSystemEventHandler):
    """Sets these, in this order, at each event."""

    def __init__(self, *events: Event) -> None:
        self._events = events

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog, for each event."""
        for each in self._events:
            each.set()


def _together(looks: Iterable[_Look]) -> dict[_Place, bool]:
    """All their places, each once."""
    wanted: dict[_Place, bool] = {}
    for look in looks:
        for place, enough in look.places.items():
            wanted[place] = enough or wanted.get(place, False)
    return wanted


def _look_at(path: Path, before: _Look, *, below: bool) -> _Look:
    way = list(_way(path))
    try:
        # A watch isn't followed through a link: a directory that is one has to be watched where it really is.
        there = path.resolve(strict=True)
        facts = _facts(there)
    except (OSError, RuntimeError):
        return _Look({}, dict.fromkeys(_places([*_directories(way[:-1]), _nearest(way[-1])]), False))
    if not S_ISDIR(facts.mode):
        return _Look({there: _Seen(facts)}, dict.fromkeys(_places(_directories(way)), False))
    seen = _tree(there, before.seen) if below else {there: _Seen(facts)}
    tops = islice(seen.items(), MOST_WATCHED)
    own = {_Place(path, found.facts.device, found.facts.inode): True for path, found in tops}
    return _Look(seen, dict.fromkeys(_places(_directories(way[:-1])), False) | own)


def _way(path: Path) -> Iterator[Path]:
    """The path, and where it leads if it is a link, and so on."""
    for _ in range(MOST_LINKS):
        yield path
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()


def _tree(top: Path, before: Mapping[Path, _Seen]) -> dict[Path, _Seen]:
    """The directory and those below, each once, the higher ones first. One that is as before isn't read again."""
    found: dict[Path, _Seen] = {}
    waiting = deque([top])
    while waiting and len(found) < MOST_LOOKED_AT:
        path = waiting.popleft()
        try:
            path = path.resolve(strict=True) if path.is_symlink() else path
            facts = _facts(path)
        except (OSError, RuntimeError):  # gone by now
            continue
        if path not in found:
            known = before.get(path)
            found[path] = known if known and known.facts == facts else _Seen(facts, _directories_in(path))
            waiting += found[path].directories
    return found


def _directories_in(path: Path) -> tuple[Path, ...]:
    """Those of its entries, and links to some, that aren't a volume's own."""
    try:
        with os.scandir(path) as entries:
            found = [Path(entry.path) for entry in entries if not entry.name.startswith("..") and entry.is_dir()]
    except OSError:  # no right to read it, or no file descriptor left
        return ()
    return tuple(sorted(found))


def _facts(path: Path) -> _Facts:
    status = path.stat()
    return _Facts(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)


def _directories(way: Iterable[Path]) -> list[Path]:
    return [path.parent for path in way]


def _nearest(path: Path) -> Path:
    """The directory that the missing path, or the first one above it that is missing, would come to."""
    return next((above for above in path.parents if os.access(above, os.X_OK)), path.parent)


def _places(directories: Iterable[Path]) -> Iterator[_Place]:
    for directory in directories:
        try:
            there = directory.resolve(strict=True)
            status = there.stat()
        except (OSError, RuntimeError):
            continue
        yield _Place(there, status.st_dev, status.st_ino)
