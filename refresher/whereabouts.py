"""What is at a path now: the file or the directories there, and the places that would tell of a change of them."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from stat import S_ISDIR
from typing import NamedTuple

MOST_WATCHED = 64
"""Directories of one tree, from its top on: each costs a thread. Of more, each is looked at every few seconds."""
MOST_LOOKED_AT = 256
"""Directories of one tree: a look at so many takes 10 ms. Of more, nothing is seen."""
MOST_LINKS = 40
"""One after the other, as the kernel follows them."""


class Vantage(NamedTuple):
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


class Look(NamedTuple):
    """What is there, by where it really is (nothing, if it isn't there).

    And the places that tell of it, each with whether an event there says enough, or only that another look is due.
    """

    seen: Mapping[Path, _Seen]
    places: Mapping[Vantage, bool]


NEVER = Look({}, {})


def look_at(path: Path, before: Look, *, below: bool) -> Look:
    """What is there now, `below` directories, too; `before` is what the last look saw, which saves reading."""
    way = list(_way(path))
    try:
        # A watch isn't followed through a link: a directory that is one has to be watched where it really is.
        there = path.resolve(strict=True)
        facts = _facts(there)
    except (OSError, RuntimeError):
        return Look({}, dict.fromkeys(_places([*_directories(way[:-1]), _nearest(way[-1])]), False))
    if not S_ISDIR(facts.mode):
        return Look({there: _Seen(facts)}, dict.fromkeys(_places(_directories(way)), False))
    seen = _tree(there, before.seen) if below else {there: _Seen(facts)}
    tops = islice(seen.items(), MOST_WATCHED)
    own = {Vantage(path, found.facts.device, found.facts.inode): True for path, found in tops}
    return Look(seen, dict.fromkeys(_places(_directories(way[:-1])), False) | own)


def _way(path: Path) -> Iterator[Path]:
    """The path, and where it leads if it is a link, and so on."""
    for _ in range(MOST_LINKS):
        yield path
        try:
            path = path.parent / path.readlink()
        except OSError:  # no link, or gone by now
            return


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
            found = [Path(entry.path) for entry in entries if not entry.name.startswith("..") and _is_directory(entry)]
    except OSError:  # no right to read it, or no file descriptor left
        return ()
    return tuple(sorted(found))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, or to where we may not look: the others count all the same
        return False


def _facts(path: Path) -> _Facts:
    status = path.stat()
    return _Facts(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)


def _directories(way: Iterable[Path]) -> list[Path]:
    return [path.parent for path in way]


def _nearest(path: Path) -> Path:
    """The directory that the missing path, or the first one above it that is missing, would come to."""
    return next((above for above in path.parents if os.access(above, os.X_OK)), path.parent)


def _places(directories: Iterable[Path]) -> Iterator[Vantage]:
    for directory in directories:
        try:
            there = directory.resolve(strict=True)
            status = there.stat()
        except (OSError, RuntimeError):
            continue
        yield Vantage(there, status.st_dev, status.st_ino)
