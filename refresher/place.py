"""An asset's place on the volume: the store with its generations, and the layout that shows one of them."""

import contextlib
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from refresher.errors import PermanentError
from refresher.filenames import OURS
from refresher.layouts import FileLayout, KubernetesLayout, Layout, LinkLayout, VersionsLayout
from refresher.ledger import Holding
from refresher.model import Asset, FilesOnDisk, Generation, LayoutName, StoreName
from refresher.store import LEDGER, Store
from refresher.volume import Directory, explained

STORE = "..refresher"

Step = Callable[[Directory, str], Directory]
"""How the directory of that name in another one is opened: made if it is missing, or not."""

_NO_DIRECTORY = frozenset({errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class Place:
    """The open store and layout of one asset."""

    store: Store
    layout: Layout

    def holding(self) -> Holding:
        """What is held."""
        return self.holding_of(self.current())

    def holding_of(self, current: Generation | None) -> Holding:
        """What is held, if that is what readers see. A kill between the ledger and the flip is seen through here."""
        ledger = self.store.ledger()
        return Holding(current=current, ledger=ledger.showing(current) if current else ledger)

    def seen(self) -> object:
        """What is different once readers see something else, or it is believed no more, or the ledger is written."""
        number = self.layout.visible()
        return number, self.store.written(number)

    def current(self) -> Generation | None:
        """The generation that readers see; None if there is none, or its manifest can't be read."""
        number = self.layout.visible()
        return None if number is None else self.store.generation(number)

    @contextlib.contextmanager
    def files(self, generation: Generation) -> Iterator[FilesOnDisk]:
        """The generation's files, to read. Raises OSError if they aren't there."""
        with self.layout.files(generation.number) as directory:
            yield FilesOnDisk(directory=directory, files=generation.files)


@contextlib.contextmanager
def opened(asset: Asset) -> Iterator[Place]:
    """Open the asset's place, made where it is missing. Raises PermanentError or TransientError, saying what to do."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(explained(asset.directory))
        yield _open(asset, partial(_reached, fsync=asset.publish.fsync), stack)


@contextlib.contextmanager
def looked_into(asset: Asset) -> Iterator[Place | None]:
    """Open the asset's place, to read only: nothing is made, None if it isn't there. Raises OSError."""
    with contextlib.ExitStack() as stack:
        place = None
        with contextlib.suppress(FileNotFoundError):
            place = _open(asset, Directory.child, stack)
        yield place


def holding_on(asset: Asset) -> Holding:
    """What the volume tells of what is held, without a lock. Raises PermanentError if this user can't read it."""
    try:
        with looked_into(asset) as place:
            if place is None:
                return Holding()
            # The ledger is its writer's alone: read by another user, the asset would look as if nothing were known.
            # What somebody put there instead is no ledger, for the sidecar neither.
            if place.store.directory.status(LEDGER):
                with contextlib.suppress(PermanentError):
                    place.store.directory.open(LEDGER).close()
            return place.holding()
    except OSError as error:
        raise PermanentError(
            f"{asset.name}: {asset.directory} can't be read ({error.strerror}): ask as the sidecar's user"
        ) from error


def store_path(asset: Asset) -> Path:
    """Where the asset's generations are, or are to be: what `opened` opens step by step."""
    if asset.publish.store is StoreName.VOLUME:
        return asset.volume / STORE / asset.name
    if asset.publish.layout in {LayoutName.LINK, LayoutName.FILE}:
        return asset.directory.with_name(f"{OURS}{asset.directory.name}")
    return asset.directory / STORE


def _open(asset: Asset, step: Step, stack: contextlib.ExitStack) -> Place:
    publish, fsync = asset.publish, asset.publish.fsync
    volume = stack.enter_context(Directory.at(asset.volume))
    *above, name = asset.directory.relative_to(asset.volume).parts
    parent = _descend(volume, above, step, stack)
    if publish.layout is LayoutName.LINK:
        store = _store(asset, volume, parent, f"{OURS}{name}", step, stack)
        return Place(store, LinkLayout(parent, name, store, fsync=fsync))
    directory = stack.enter_context(step(parent, name))
    match publish.layout:
        case LayoutName.KUBERNETES:
            store = _store(asset, volume, directory, STORE, step, stack)
            return Place(store, KubernetesLayout(directory, store, nudge=publish.nudge, fsync=fsync))
        case LayoutName.VERSIONS:
            store = _store(asset, volume, directory, STORE, step, stack)
            return Place(store, VersionsLayout(directory, store, fsync=fsync))
        case LayoutName.FILE:
            store = _store(asset, volume, parent, f"{OURS}{name}", step, stack)
            return Place(store, FileLayout(directory, store, fsync=fsync))


def _store(
    asset: Asset, volume: Directory, beside: Directory, name: str, step: Step, stack: contextlib.ExitStack
) -> Store:
    if asset.publish.store is StoreName.VOLUME:
        return Store(_descend(volume, (STORE, asset.name), step, stack))
    return Store(_descend(beside, (name,), step, stack))


def _descend(
    start: Directory, parts: tuple[str, ...] | list[str], step: Step, stack: contextlib.ExitStack
) -> Directory:
    directory = start
    for part in parts:
        directory = stack.enter_context(step(directory, part))
    return directory


def _reached(parent: Directory, name: str, *, fsync: bool) -> Directory:
    try:
        return parent.child(name)
    except OSError as error:
        if name.startswith(OURS) and error.errno in _NO_DIRECTORY:
            parent.remove(name)
        elif error.errno != errno.ENOENT:
            raise
    with parent.made(name):
        # Once, so that a power cut can't take the whole directory with all that was published in it.
        if fsync:
            parent.fsync()
    return parent.child(name)
