"""Reads a trace of system calls and says what a power cut could have taken that was on show already.

A model of POSIX durability: what is written to a file is safe after an fsync of that file, a name after an fsync of the
directory that it is in. A rename puts something on show: the directory or file itself, or what a link leads to.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

CALLS = (
    "openat,write,pwrite64,fsync,fdatasync,fchmod,fchown,/^mkdir,/^rename,/^symlink,/^link,/^unlink,/^access,/^faccess"
)

_LINE = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += (\d+)(?:<([^>]*)>)?")
_HIDDEN = re.compile(r"/\.\.[0-9a-f]{16}$")
"""A temporary name: what gets one is out of everybody's sight, and about to be removed."""
_ARGUMENT = re.compile(r'(?:\d+|AT_FDCWD)<([^>]*)>|"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Call:
    name: str
    words: tuple[str, ...]
    flags: str
    opened: str


def calls(log: Iterable[str], *, after: str) -> Iterator[Call]:
    """The calls that succeeded, after the one that names `after`."""
    begun = False
    for line in log:
        begun = begun or after in line
        match = _LINE.match(line)
        if begun and match:
            name, arguments, _, opened = match.groups()
            words = tuple(fd or word for fd, word in _ARGUMENT.findall(arguments))
            yield Call(re.sub(r"(at2?|64)$", "", name), words, arguments, opened or "")


@dataclass
class Disk:
    """What is not durable: contents by path, names by path. `aliases` are other names of the same file."""

    contents: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def sees(self, call: Call) -> None:
        getattr(self, f"_{call.name}", self._nothing)(call)

    def _nothing(self, call: Call) -> None:
        """Changes nothing."""

    def _open(self, call: Call) -> None:
        if "O_CREAT" in call.flags and "O_EXCL" in call.flags:
            self.contents.add(call.opened)
            self.names.add(call.opened)

    def _write(self, call: Call) -> None:
        self.contents.add(call.words[0])

    _pwrite = _fchmod = _fchown = _write

    def _fsync(self, call: Call) -> None:
        path = call.words[0]
        self.contents.discard(path)
        self.names = {name for name in self.names if _parent(name) != path}

    _fdatasync = _fsync

    def _mkdir(self, call: Call) -> None:
        path = "/".join(call.words[:2])
        self.contents.add(path)
        self.names.add(path)

    def _symlink(self, call: Call) -> None:
        path = "/".join(call.words[1:3])
        self.links[path] = call.words[0]
        self.names.add(path)

    def _link(self, call: Call) -> None:
        path = "/".join(call.words[2:4])
        self.aliases[path] = "/".join(call.words[:2])
        self.names.add(path)

    def _unlink(self, call: Call) -> None:
        path = "/".join(call.words[:2])
        self.contents = {one for one in self.contents if not _below(one, path)}
        self.names = {one for one in self.names if not _below(one, path)}

    def _rename(self, call: Call) -> None:
        old, new = "/".join(call.words[:2]), "/".join(call.words[2:4])
        self._shows(old, new)
        self.contents = {_moved(one, old, new) for one in self.contents}
        self.names = {_moved(one, old, new) for one in self.names} | {new}
        self.links = {_moved(one, old, new): target for one, target in self.links.items()}
        self.aliases = {_moved(one, old, new): _moved(other, old, new) for one, other in self.aliases.items()}
        if "/.." not in old:
            # Readers must not find it there again.
            self.names.add(old)

    def _shows(self, old: str, new: str) -> None:
        if _HIDDEN.search(new):
            return
        shown = self.aliases.get(old, old)
        if old in self.links:
            shown = os.path.normpath(f"{_parent(new)}/{self.links[old]}")
            # The way to it must be safe too.
            lost = {one for one in self.names if _below(shown, one) and one != old}
        else:
            lost = {one for one in self.contents if one == shown}
        lost |= {one for one in self.contents if _below(one, shown)}
        lost |= {one for one in self.names if _below(one, shown) and one != shown}
        self.findings += [f"{new} shows {one}, which is not durable" for one in sorted(lost)]


def audit(log: Iterable[str], *, after: str, root: str, forgettable: Iterable[str]) -> list[str]:
    """What was on show and not durable: at a rename, and at the end of the step, but for the names `forgettable`."""
    disk = Disk()
    for call in calls(log, after=after):
        disk.sees(call)
    left = sorted((disk.names | disk.contents) - {f"{root}/{name}" for name in forgettable})
    return disk.findings + [f"{path} is not durable at the end" for path in left if _below(path, root)]


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _below(path: str, above: str) -> bool:
    return path == above or path.startswith(above + "/")


def _moved(path: str, old: str, new: str) -> str:
    return new + path[len(old) :] if _below(path, old) else path
