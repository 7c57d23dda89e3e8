"""How a generation becomes visible: one class a layout.

Each answers which generation readers see, shows another one, and can show the same one again to repair what somebody
removed. All links are relative, so that they hold wherever a container mounts the volume. `show` contains the numbered
steps 6 to 8 of publishing; each step does nothing where all is as it should be, so that a repair wakes nobody who
watches.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

from refresher.contract import StagedFile
from refresher.errors import PermanentError, RejectedError
from refresher.incoming import FILES
from refresher.model import Generation
from refresher.store import Store, directory_name, number_in
from refresher.volume import Directory

DATA = "..data"

_TARGET = re.compile(rf"(?:.*/)?([0-9]+)/{FILES}")
_VERSION = re.compile(r"[1-9][0-9]{0,18}")


class Layout(ABC):
    """What publishing needs from a layout."""

    @abstractmethod
    def visible(self) -> int | None:
        """The number of the generation that readers see; None if there is none."""

    @abstractmethod
    def admit(self, files: Mapping[str, StagedFile]) -> None:
        """Raise PermanentError or RejectedError if a set of these names can't be shown."""

    @abstractmethod
    def show(self, generation: Generation) -> None:
        """Lead readers to this generation, at once for the whole set."""

    @abstractmethod
    def files(self, number: int) -> Directory:
        """The open directory with a generation's files. Raises OSError if there is none."""

    def highest(self) -> int:
        """The highest number that readers see, ours or not; 0 if they see none. The next generation's is above it."""
        return self.visible() or 0

    def show_nothing(self) -> None:  # noqa: B027 - most have nothing to do
        """Remove what was made for a first generation that never came into sight."""

    def withdraw(self, number: int) -> None:  # noqa: B027 - most have nothing to do
        """Take a retired generation, whose grace is over, out of sight."""


def top_names(files: Iterable[str]) -> list[str]:
    """The first parts of the names, each once, in order."""
    return sorted({name.split("/", 1)[0] for name in files})


def _refuse_foreign(directory: Directory, name: str) -> None:
    status = directory.status(name)
    if status is not None and directory.target(name) is None:
        raise PermanentError(f"{directory.path / name} is in the way: remove it, or publish into another directory")


class KubernetesLayout(Layout):
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
        """(6) links that are missing, (7) the swap, (8) links that lead nowhere now. One fsync is for all of them."""
        names = top_names(generation.files)
        target = _relative(self.directory.path, self.store, generation.number)
        # (6)
        missing = [name for name in names if self.directory.target(name) != f"{DATA}/{name}"]
        self._link(missing)
        # (7)
        swapped = self.directory.target(DATA) != target
        if swapped:
            self.store.make_way(DATA, inside=self.directory)
            self.store.directory.put_link(DATA, target, into=self.directory)
            self._link([name for name in names if self.nudge and name not in missing])
        # (8)
        stale = self._unlink_all_but(names)
        if self.fsync and (missing or swapped or stale):
            self.directory.fsync()

    def show_nothing(self) -> None:
        """Remove the links that lead nowhere."""
        self._unlink_all_but([])

    def _link(self, names: list[str]) -> None:
        for name in names:
            self.store.directory.put_link(name, f"{DATA}/{name}", into=self.directory)

    def _unlink_all_but(self, names: list[str]) -> list[str]:
        others = (name for name in self.directory.names() if name not in names)
        stale = [name for name in others if self.directory.target(name) == f"{DATA}/{name}"]
        for name in stale:
            self.directory.remove(name)
        return stale


class LinkLayout(Layout):
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
            self.store.directory.put_link(self.name, target, into=self.parent)
            if self.fsync:
                self.parent.fsync()


class FileLayout(Layout):
    """One real file, replaced by rename, for readers that follow no links. A hard link to the generation's own."""

    def __init__(self, directory: Directory, store: Store, *, fsync: bool) -> None:
        self.directory, self.store, self.fsync = directory, store, fsync

    def visible(self) -> int | None:
        """The newest generation whose file is in sight."""
        return next(filter(self._is_shown, reversed(self.store.numbers())), None)

    def files(self, number: int) -> Directory:
        """The files in the store."""
        return self.store.files(number)

    def admit(self, files: Mapping[str, StagedFile]) -> None:
        """Only one file can be replaced at once, and no directory by a file."""
        (name, *others) = files
        if others or "/" in name:
            raise RejectedError(f"the layout `file` shows one file, and {name} is more: choose another layout")
        if self.directory.is_directory(name):
            raise PermanentError(f"{self.directory.path / name} is a directory, where a file has to go")

    def show(self, generation: Generation) -> None:
        """(7) the rename, (8) files of another name that were shown before."""
        (name,) = generation.files
        # (7)
        if not self._is_shown(generation.number):
            with self.store.files(generation.number) as files:
                self.store.directory.put_hard_link(name, files, into=self.directory)
            if self.fsync:
                self.directory.fsync()
        # (8)
        for number in self.store.numbers():
            if self._name(number) != name and self._is_shown(number):
                self.directory.remove(self._name(number))

    def _name(self, number: int) -> str:
        found = self.store.generation(number)
        names = list(found.files) if found else []
        return names[0] if len(names) == 1 and "/" not in names[0] else ""

    def _is_shown(self, number: int) -> bool:
        name = self._name(number)
        shown = self.directory.status(name) if name else None
        if shown is None:
            return False
        try:
            with self.store.files(number) as files:
                kept = files.status(name)
        except OSError:
            return False
        return kept is not None and os.path.samestat(kept, shown)


class VersionsLayout(Layout):
    """Numbered directories, the highest of which counts: `fraud/7/…`. A rollback takes higher numbers away."""

    def __init__(self, directory: Directory, store: Store, *, fsync: bool) -> None:
        self.directory, self.store, self.fsync = directory, store, fsync

    def visible(self) -> int | None:
        """The highest number that is in sight and ours."""
        return max(self._shown(), default=None)

    def highest(self) -> int:
        """The highest number in sight: somebody else's above ours would hide it from every reader."""
        return max(self._numbers(), default=0)

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
        shown = self._shown()
        # (7)
        if generation.number not in shown:
            self._into_sight(generation.number)
        # (8)
        for number in shown:
            if number > generation.number:
                self._out_of_sight(number)

    def withdraw(self, number: int) -> None:
        """Take a generation back into the store."""
        if number in self._shown():
            self._out_of_sight(number)

    def _numbers(self) -> list[int]:
        return [int(name) for name in self.directory.names() if _VERSION.fullmatch(name)]

    def _shown(self) -> list[int]:
        kept = set(self.store.numbers())
        return [number for number in self._numbers() if number in kept and self._is_moved(number)]

    def _is_moved(self, number: int) -> bool:
        # A directory of that number that was never in the store is somebody else's.
        try:
            with self.store.directory.child(directory_name(number)) as kept:
                return kept.status(FILES) is None and self.directory.is_directory(str(number))
        except OSError:
            return False

    def _into_sight(self, number: int) -> None:
        with self.store.directory.child(directory_name(number)) as kept:
            kept.rename(FILES, str(number), into=self.directory)
            if self.fsync:
                self.directory.fsync()

    def _out_of_sight(self, number: int) -> None:
        with self.store.directory.child(directory_name(number)) as kept:
            self.directory.rename(str(number), FILES, into=kept)
            if self.fsync:
                kept.fsync()
                self.directory.fsync()


def _relative(start: Path, store: Store, number: int) -> str:
    return os.path.relpath(store.directory.path / directory_name(number) / FILES, start)


def _number_in(target: str | None) -> int | None:
    match = _TARGET.fullmatch(target) if target else None
    return number_in(match[1]) if match else None
