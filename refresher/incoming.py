"""A generation in the making: staged in, kept for the next attempt when it breaks off, and swept.

    incoming-…/files/…          what has come so far: of each file a beginning, or the whole
    incoming-…/journal.json     of which source and revisions, so that the next attempt can go on from there

A kill leaves it as it is, and loses nothing that was written; what a power cut leaves is not believed. Whoever works in
it holds a lock on it, which ends with the process.
"""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter, ValidationError

from refresher import nested
from refresher.errors import RefresherError, TransientError
from refresher.host import boot
from refresher.volume import CLOSED, Directory, explained, is_full

INCOMING = "incoming-"
FILES = "files"
JOURNAL = "journal.json"
JOURNAL_LIMIT = 16 * 1024 * 1024
KEPT_FOR = 24 * 3600
"""Seconds after which nobody goes on with a transfer any more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is to come: its revision at the source, and its bytes."""

    revision: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What is on its way: from the source with this fingerprint, during this run of the kernel."""

    source: str
    files: Mapping[str, Wanted]
    boot: str = field(default_factory=boot)

    def leads_to(self, later: "Journal") -> bool:
        """Whether what came under this journal can be a part of what is wanted later."""
        return (self.source, self.boot) == (later.source, later.boot) and self.boot != ""


_JOURNAL = TypeAdapter(Journal)


@dataclass(slots=True)
class Incoming:
    """An open directory in the making, and the open `files` in it.

    `parts` are the names in it that an earlier attempt began; `journal` says what the next one can go on with, if it
    `stays`.
    """

    directory: Directory
    files: Directory
    journal: Journal | None = None
    parts: set[str] = field(default_factory=set)
    stays: bool = False

    def size_of_part(self, name: str) -> int:
        """Bytes that an earlier attempt left of this file."""
        return os.stat(name, dir_fd=self.files.fd, follow_symlinks=False).st_size if name in self.parts else 0

    def forget(self, names: Set[str]) -> None:
        """Let no later attempt take what is about to stand under these names for the revisions in the journal."""
        if self.journal and names & self.journal.files.keys():
            left = {name: wanted for name, wanted in self.journal.files.items() if name not in names}
            with explained(self.directory.path):
                self.note(replace(self.journal, files=left))

    def note(self, journal: Journal) -> None:
        """Write down what is to come. Raises OSError."""
        self.directory.put_file(JOURNAL, _JOURNAL.dump_json(journal), mode=0o600, fsync=False)
        self.journal = journal

    @contextlib.contextmanager
    def resumable(self) -> Iterator[None]:
        """Leave it for the next attempt if this one breaks off, may work soon, and has something to go on with."""
        try:
            yield
        except TransientError as error:
            # The half of a model that fills the volume would keep it full: for other assets, and for its own rest.
            has_begun = self.directory.status(JOURNAL) is not None and self.files.names() != []
            self.stays = has_begun and not is_full(error.__cause__)
            raise


@contextlib.contextmanager
def incoming(store: Directory, journal: Journal | None) -> Iterator[Incoming]:
    """A new directory to stage in, with all that an earlier attempt left of it (None: nothing to go on with).

    Entered under the store's lock. At the end it is removed, unless it was kept as a generation, or stays. Nobody else
    can look into it before it is kept: nothing in it is verified.
    """
    name = new_name()
    with contextlib.ExitStack() as removed, contextlib.ExitStack() as stack:
        removed.callback(store.remove, name)
        with explained(store.path), _making_way(store):
            directory = stack.enter_context(store.made(name))
            made = Incoming(directory, stack.enter_context(directory.made(FILES)))
            store.set_mode(name, CLOSED)
            _claim(directory)
            if journal is None:
                sweep(store)
            else:
                made.note(journal)
                _go_on(store, made, journal)
        try:
            yield made
        finally:
            if made.stays:
                removed.pop_all()


@contextlib.contextmanager
def _making_way(store: Directory) -> Iterator[None]:
    """On a full volume, remove what a killed attempt left: nobody can go on with it there."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            sweep(store)
        raise


def new_name() -> str:
    """A name for what is in the making, or about to be removed."""
    return f"{INCOMING}{secrets.token_hex(8)}"


def sweep(store: Directory, *, source: str | None = None) -> None:
    """Remove what nobody works in, except transfers of this source that can go on (None: without exception)."""
    for name in _leftovers(store):
        with contextlib.suppress(BlockingIOError), _abandoned(store, name) as left:
            journal = _journal(left) if source is not None else None
            if journal is None or not journal.leads_to(Journal(source=source or "", files={})):
                store.remove(name)


def _go_on(store: Directory, made: Incoming, journal: Journal) -> None:
    """Take over what earlier attempts left of the same files; what else they left is removed."""
    for name in _leftovers(store):
        with contextlib.suppress(BlockingIOError), _abandoned(store, name) as left:
            earlier = _journal(left)
            if left and earlier and earlier.leads_to(journal):
                _take_over(left, made, earlier, journal)
            store.remove(name)


def _take_over(left: Directory, made: Incoming, earlier: Journal, journal: Journal) -> None:
    # Whatever somebody put there instead must not be in the way of every later attempt.
    with contextlib.suppress(OSError), left.child(FILES) as files:
        for name, wanted in journal.files.items():
            if earlier.files.get(name) == wanted:
                with contextlib.suppress(OSError):
                    nested.move(name, files, into=made.files)
                    made.parts.add(name)


def _leftovers(store: Directory) -> list[str]:
    return [name for name in store.names() if name.startswith(INCOMING)]


@contextlib.contextmanager
def _abandoned(store: Directory, name: str) -> Iterator[Directory | None]:
    """The directory, closed to others who would work in it; None for what can't be one. BlockingIOError: it is used."""
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(store.child(name))
        except OSError:
            yield None
            return
        _claim(directory)
        yield directory


def _claim(directory: Directory) -> None:
    fcntl.flock(directory.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _journal(left: Directory | None) -> Journal | None:
    """The journal of a transfer that can go on: our own, not too old, readable."""
    try:
        status = left.status(JOURNAL) if left else None
        if left is None or status is None or status.st_uid != os.geteuid() or time.time() - status.st_mtime > KEPT_FOR:
            return None
        return _JOURNAL.validate_json(left.content(JOURNAL, limit=JOURNAL_LIMIT))
    except (OSError, RefresherError, ValidationError):
        return None
