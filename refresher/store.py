"""Where an asset's generations are kept: numbered directories, each with `files/` and `manifest.json`, and the ledger.

..refresher/00000007/files/tls.crt …     complete, verified, never written again
..refresher/00000007/manifest.json
..refresher/incoming-…                   being staged; locked by whoever stages
..refresher/ledger.json, lock
"""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from refresher.ledger import Ledger, dump_ledger, dump_manifest, load_ledger, load_manifest
from refresher.model import Generation
from refresher.volume import Directory, locked

FILES = "files"
MANIFEST = "manifest.json"
LEDGER = "ledger.json"
LOCK = "lock"
INCOMING = "incoming-"
RECORD_LIMIT = 16 * 1024 * 1024
"""Bytes of a manifest or ledger that are read: 10,000 files make a manifest of about 2 MiB."""
LOCK_WAIT = 10.0
"""Seconds to wait for another refresher on the same directory, an init container that is about to end, say."""

_NUMBER = re.compile(r"\d{8,}")


def directory_name(number: int) -> str:
    """The name of a generation's directory."""
    return f"{number:08d}"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A generation in the making: its open directory, and the open `files` in it."""

    directory: Directory
    files: Directory


class Store:
    """The open directory in which one asset's generations are kept."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    def locked(self) -> AbstractContextManager[None]:
        """Be the only writer. TransientError if another one is for longer than `LOCK_WAIT`."""
        return locked(self.directory, LOCK, within=LOCK_WAIT)

    def numbers(self) -> list[int]:
        """The numbers of all generations here, complete or not, ascending."""
        return sorted(int(name) for name in self.directory.names() if _NUMBER.fullmatch(name))

    def generation(self, number: int) -> Generation | None:
        """The generation by its manifest; None if there is no whole one of that number."""
        try:
            with self.directory.child(directory_name(number)) as directory, directory.open(MANIFEST) as file:
                found = load_manifest(file.read(RECORD_LIMIT))
        except OSError:
            return None
        return found if found and found.number == number else None

    def files(self, number: int) -> Directory:
        """The open `files` of a generation."""
        with self.directory.child(directory_name(number)) as directory:
            return directory.child(FILES)

    @contextlib.contextmanager
    def incoming(self) -> Iterator["Incoming"]:
        """A new directory to stage in; unless it was kept, it is removed at the end."""
        name = f"{INCOMING}{secrets.token_hex(8)}"
        try:
            with self.directory.made(name) as directory, directory.made(FILES) as files:
                yield Incoming(directory, files)
        finally:
            self.directory.remove(name)

    def keep(self, incoming: "Incoming", generation: Generation, *, fsync: bool) -> None:
        """Steps 4 and 5 of publishing: the manifest goes inside, then the whole gets its number in one rename."""
        incoming.directory.put_file(MANIFEST, dump_manifest(generation), mode=0o644, fsync=fsync)
        if fsync:
            incoming.directory.fsync()
        self.directory.rename(incoming.directory.path.name, directory_name(generation.number))
        if fsync:
            self.directory.fsync()

    def ledger(self) -> Ledger:
        """What is remembered; if it can't be read, what the generations themselves tell."""
        with contextlib.suppress(OSError), self.directory.open(LEDGER) as file:
            found = load_ledger(file.read(RECORD_LIMIT))
            if found:
                return found
        return Ledger(last_generation=max(self.numbers(), default=0))

    def remember(self, ledger: Ledger, *, fsync: bool) -> None:
        """Write the ledger, in one step."""
        self.directory.put_file(LEDGER, dump_ledger(ledger), mode=0o600, fsync=fsync)

    def sweep(self) -> None:
        """Remove what a killed refresher left: half-staged sets and temporary names. Only under the lock."""
        for name in self.directory.names():
            if name.startswith((INCOMING, "..")):
                self.directory.remove(name)

    def retire(self, number: int) -> None:
        """Note that readers were led away from this generation now."""
        with contextlib.suppress(OSError):
            os.utime(directory_name(number), dir_fd=self.directory.fd, follow_symlinks=False)

    def retired_at(self, number: int) -> datetime:
        """When readers were led away from it."""
        status = self.directory.status(directory_name(number))
        return datetime.fromtimestamp(status.st_mtime if status else time.time(), UTC)

    def close(self, number: int) -> None:
        """Let nobody else read this retired generation."""
        with contextlib.suppress(OSError):
            self.directory.chmod_directory(directory_name(number), 0o700)

    def reopen(self, number: int) -> None:
        """Let everybody read this generation again."""
        self.directory.chmod_directory(directory_name(number), 0o755)

    def drop(self, number: int) -> None:
        """Remove a generation: first its number, in one rename, so that no half of it is ever taken for a whole."""
        doomed = f"{INCOMING}{secrets.token_hex(8)}"
        self.directory.rename(directory_name(number), doomed)
        self.directory.remove(doomed)
