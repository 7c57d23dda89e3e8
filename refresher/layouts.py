"""How a generation becomes visible: one class a layout.

Each answers which generation readers see, shows another one, and can show the same one again to repair what somebody
removed. All links are relative, so that they hold wherever a container mounts the volume. `show` contains the numbered
steps 6 to 8 of publishing; each step does nothing where all is as it should be, so that a repair wakes nobody who
watches.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from refresher.contract import StagedFile
from refresher.errors import PermanentError, RejectedError
from refresher.model import Generation
from refresher.store import FILES, Store, directory_name
from refresher.volume import OURS, Directory

DATA = "..data"
CURRENT = "current"

_TARGET = re.compile(r"(?:.*/)?(\d{8,})/files")
_VERSION = re.compile(r"[1-9]\d{0,18}")


class Layout(Protocol):
    """What publishing needs from a layout."""

    def visible(self) -> int | None:
        """The number of the generation that readers see; None if there is none."""
        ...

    def files(self, number: int) -> Directory:
        """The open directory with a generation's files. Raises OSError if there is none."""
        ...

    def admit(self, files: Mapping[str, StagedFile]) -> None:
        """Raise PermanentError or RejectedError if a set of these names can't be shown."""
        ...

    def show(self, generation: Generation) -> None:
        """Lead readers to this generation, at once for the whole set."""
        ...

    def withdraw(self, number: int) -> None:
        """Take a retired generation, whose grace is over, out of sight."""
        ...


def top_names(files: Iterable[str]) -> list[str]:
    """The first parts of the names, each once, in order."""
    return sorted({name.split("/", 1)[0] for name in files})


def _refuse_foreign(directory: Directory, name: str) -> None:
    status = directory.status(name)
    if status is not None and directory.target(name) is None:
        raise PermanentError(f"{directory.path / name} is in the way: remove it, or publish into another directory")


class KubernetesLayout:
    """The layout of a mounted Secret: `tls.crt -> ..data/tls.crt`, and `..data` is swapped."""

    def __init__(self, directory: Directory, store: Store, *, nudge: bool, fsync: bool) -> None:
        self.directory, self.store, self.nudge, self.fsync = directory, store, nudge, fsync

    def visible(self) -> int | None:
        """The number that `..data` leads to."""
        return _number_in(self.directory.target(DATA))

    def files(self, number: int) -> Directory:
        """The files in the store."""
        return self.store.files(number)

    def admit(self, files: Mapping[str, StagedFile]) -> None:
        """Refuse to put a link where somebody else's file or directory stands."""
        for name in top_names(files):
            _refuse_foreign(self.directory, name)

    def show(self, generation: Generation) -> None:
        """(6) links that are missing, (7) the swap, (8) links that lead nowhere now."""
        names = top_names(generation.files)
        target = _relative(self.directory.path, self.store, generation.number)
        # (6)
        missing = [name for name in names if self.directory.target(name) != f"{DATA}/{name}"]
        for name in missing:
            self.directory.put_link(name, f"{DATA}/{name}")
        if missing and self.fsync:
            self.directory.fsync()
        # (7)
        if self.directory.target(DATA) != target:
            self.directory.put_link(DATA, target)
            self._nudge([name for name in names if name not in missing])
            if self.fsync:
                self.directory.fsync()
        # (8)
        for name in self.directory.names():
            if name not in names and self.directory.target(name) == f"{DATA}/{name}":
                self.directory.remove(name)

    def withdraw(self, number: int) -> None:
        """Nothing leads to a retired generation already."""

    def _nudge(self, names: list[str]) -> None:
        if self.nudge:
            for name in names:
                self.directory.put_link(name, f"{DATA}/{name}")


class LinkLayout:
    """The directory itself is the link: `tls -> ..tls/00000007/files`."""

    def __init__(self, parent: Directory, name: str, store: Store, *, fsync: bool) -> None:
        self.parent, self.name, self.store, self.fsync = parent, name, store, fsync

    def visible(self) -> int | None:
        """The number that the link leads to."""
        return _number_in(self.parent.target(self.name))

    def files(self, number: int) -> Directory:
        """The files in the store."""
        return self.store.files(number)

    def admit(self, files: Mapping[str, StagedFile]) -> None:
        """Refuse to replace a real directory, or a file, by the link."""
        _refuse_foreign(self.parent, self.name)

    def show(self, generation: Generation) -> None:
        """(7) the swap; there is nothing to do before and after it."""
        target = _relative(self.parent.path, self.store, generation.number)
        if self.parent.target(self.name) != target:
            self.parent.put_link(self.name, target)
            if self.fsync:
                self.parent.fsync()

    def withdraw(self, number: int) -> None:
        """Nothing leads to a retired generation already."""


class FileLayout:
    """One real file, replaced by rename, for readers that follow no links. A hard link to the generation's own."""

    def __init__(self, directory: Directory, store: Store, *, fsync: bool) -> None:
        self.directory, self.store, self.fsync = directory, store, fsync

    def visible(self) -> int | None:
        """The generation that the visible file belongs to; if it's none's, the one that was shown last."""
        return next(filter(self._is_shown, reversed(self.store.numbers())), None) or _number_in(
            f"{self.store.directory.target(CURRENT)}/{FILES}"
        )

    def files(self, number: int) -> Directory:
        """The files in the store."""
        return self.store.files(number)

    def admit(self, files: Mapping[str, StagedFile]) -> None:
        """Only one file can be replaced at once, and no directory by a file."""
        if len(files) != 1 or "/" in next(iter(files)):
            raise RejectedError(f"the layout `file` shows one file, and these are {len(files)}: choose another layout")
        if self.directory.is_directory(next(iter(files))):
            raise PermanentError(f"{self.directory.path / next(iter(files))} is a directory, where a file has to go")

    def show(self, generation: Generation) -> None:
        """(7) the rename, (8) the file of another name that was shown before."""
        (name,) = generation.files
        previous = self.visible()
        # (7)
        if not self._is_shown(generation.number):
            self._place(generation.number, name)
        if self.store.directory.target(CURRENT) != directory_name(generation.number):
            self.store.directory.put_link(CURRENT, directory_name(generation.number))
        # (8)
        if previous and previous != generation.number and self._is_shown(previous):
            self.directory.remove(self._name(previous))

    def withdraw(self, number: int) -> None:
        """Nothing leads to a retired generation already."""

    def _place(self, number: int, name: str) -> None:
        temporary = f"{OURS}{secrets.token_hex(8)}"
        with self.store.files(number) as files:
            os.link(name, temporary, src_dir_fd=files.fd, dst_dir_fd=self.directory.fd, follow_symlinks=False)
        try:
            self.directory.rename(temporary, name)
        except OSError:
            self.directory.remove(temporary)
            raise
        if self.fsync:
            self.directory.fsync()

    def _name(self, number: int) -> str:
        found = self.store.generation(number)
        return next(iter(found.files)) if found else ""

    def _is_shown(self, number: int) -> bool:
        name = self._name(number)
        shown = self.directory.status(name) if name else None
        if shown is None:
            return False
        with self.store.files(number) as files:
            kept = files.status(name)
        return kept is not None and (kept.st_dev, kept.st_ino) == (shown.st_dev, shown.st_ino)


class VersionsLayout:
    """Numbered directories, the highest of which counts: `fraud/7/…`. A rollback takes higher numbers away."""

    def __init__(self, directory: Directory, store: Store, *, fsync: bool) -> None:
        self.directory, self.store, self.fsync = directory, store, fsync

    def visible(self) -> int | None:
        """The highest number that is in sight and ours."""
        return max(self._shown(), default=None)

    def files(self, number: int) -> Directory:
        """The files, in sight or in the store."""
        try:
            return self.store.files(number)
        except FileNotFoundError:
            return self.directory.child(str(number))

    def admit(self, files: Mapping[str, StagedFile]) -> None:
        """Any names will do."""

    def show(self, generation: Generation) -> None:
        """(7) the generation comes into sight by one rename, (8) higher ones go the same way."""
        # (7)
        if generation.number not in self._shown():
            self._move(generation.number, self._into_sight)
        # (8)
        for number in self._shown():
            if number > generation.number:
                self.withdraw(number)

    def withdraw(self, number: int) -> None:
        """Take a generation back into the store."""
        if number in self._shown():
            self._move(number, self._out_of_sight)

    def _shown(self) -> list[int]:
        kept = set(self.store.numbers())
        return [int(name) for name in self.directory.names() if _VERSION.fullmatch(name) and int(name) in kept]

    def _move(self, number: int, move: Callable[[int, Directory], None]) -> None:
        with self.store.directory.child(directory_name(number)) as kept:
            move(number, kept)
            if self.fsync:
                kept.fsync()
                self.directory.fsync()

    def _into_sight(self, number: int, kept: Directory) -> None:
        kept.rename(FILES, str(number), into=self.directory)

    def _out_of_sight(self, number: int, kept: Directory) -> None:
        self.directory.rename(str(number), FILES, into=kept)


def _relative(start: Path, store: Store, number: int) -> str:
    return os.path.relpath(store.directory.path / directory_name(number) / FILES, start)


def _number_in(target: str | None) -> int | None:
    match = _TARGET.fullmatch(target) if target else None
    return int(match[1]) if match else None
