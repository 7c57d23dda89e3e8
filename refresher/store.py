"""Where an asset's generations are kept: numbered directories, each with `files/` and `manifest.json`, and the ledger.

..refresher/00000007/files/tls.crt …     complete, verified, never written again
..refresher/00000007/manifest.json
..refresher/incoming-…                   being staged, under a lock of its own
..refresher/ledger.json, lock, reserve
"""

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from refresher.errors import RefresherError, RejectedError, TransientError
from refresher.filenames import OURS
from refresher.incoming import FILES, JOURNAL, Incoming, Journal, incoming, new_name, sweep
from refresher.ledger import Ledger, dump_ledger, dump_manifest, load_ledger, load_manifest
from refresher.model import Generation
from refresher.volume import CLOSED, OPEN, Directory, explained, is_full

MANIFEST = "manifest.json"
LEDGER = "ledger.json"
LOCK = "lock"
RESERVE = "reserve"
RECORD_LIMIT = 16 * 1024 * 1024
"""Bytes of a manifest or ledger that are read: 10,000 files make a manifest of about 2 MiB."""
RESERVE_BYTES = 64 * 1024
"""Room set aside for the ledger, so that a rollback on a full disk can be written down; a ledger is under 10 KiB."""
LOCK_WAIT = 10.0
"""Seconds to wait for another refresher on the same directory, an init container that is about to end, say."""
LARGEST = 10**12 - 1
"""The highest number of a generation: one a second for 30,000 years."""

_NUMBER = re.compile(r"[0-9]{8,12}")


def directory_name(number: int) -> str:
    """The name of a generation's directory."""
    return f"{number:08d}"


def number_in(name: str) -> int | None:
    """The number of the generation whose directory has this name; None if none's has."""
    number = int(name) if _NUMBER.fullmatch(name) else 0
    return number if number and name == directory_name(number) else None


class Store:
    """The open directory in which one asset's generations are kept."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    @contextlib.contextmanager
    def locked(self, *, within: float = LOCK_WAIT) -> Iterator[None]:
        """Be the only writer. TransientError if another one is for longer than `within` seconds.

        The lock is the kernel's (flock): it ends with the process, so that a kill leaves nothing to clear. Waiting is
        bounded, because whoever can read the file can hold the lock too.
        """
        with explained(self.directory.path):
            fd = self._locked(time.monotonic() + within)
        try:
            yield
        finally:
            os.close(fd)

    def numbers(self) -> list[int]:
        """The numbers of all generations here, complete or not, ascending."""
        return sorted(filter(None, map(number_in, self.directory.names())))

    def generation(self, number: int) -> Generation | None:
        """The generation by its manifest; None if there is no whole one of that number."""
        try:
            with self.directory.child(directory_name(number)) as directory:
                found = load_manifest(directory.content(MANIFEST, limit=RECORD_LIMIT))
        except (OSError, RefresherError):
            return None
        return found if found and found.number == number else None

    def files(self, number: int) -> Directory:
        """The open `files` of a generation."""
        with self.directory.child(directory_name(number)) as directory:
            return directory.child(FILES)

    def incoming(self, journal: Journal | None = None) -> contextlib.AbstractContextManager[Incoming]:
        """A new directory to stage in, with what an earlier attempt left of what `journal` wants; see `incoming`."""
        return incoming(self.directory, journal)

    def keep(self, incoming: Incoming, generation: Generation, *, fsync: bool) -> None:
        """Steps 4 and 5 of publishing: the manifest goes inside, then the whole gets its number in one rename.

        Raises RejectedError for so many files that their manifest could never be read again.
        """
        manifest = dump_manifest(generation)
        if len(manifest) > RECORD_LIMIT:
            raise RejectedError(
                f"{len(generation.files)} files make a manifest of {len(manifest)} bytes, more than {RECORD_LIMIT}: "
                "fewer files are needed, whatever limits.files allows"
            )
        incoming.directory.write(MANIFEST, manifest, mode=0o644, fsync=fsync)
        self.directory.set_mode(incoming.directory.path.name, OPEN)
        # Not before: until the rename, a kill must find a transfer that can go on.
        incoming.directory.remove(JOURNAL)
        if fsync:
            incoming.directory.fsync()
        self.directory.rename(incoming.directory.path.name, directory_name(generation.number))
        if fsync:
            self.directory.fsync()

    def ledger(self) -> Ledger:
        """What is remembered; if it can't be read, what the generations themselves tell."""
        with contextlib.suppress(OSError, RefresherError):
            found = load_ledger(self.directory.content(LEDGER, limit=RECORD_LIMIT))
            if found:
                return found
        return Ledger(last_generation=max(self.numbers(), default=0))

    def written(self, number: int | None) -> object:
        """What is different once somebody has written the ledger, or that manifest: they are new files each time."""
        found = [self.directory.status(LEDGER)]
        if number is not None:
            # At every look, so by one call; a link on the way would only be something different.
            with contextlib.suppress(OSError):
                found.append(self.directory.status(f"{directory_name(number)}/{MANIFEST}"))
        return [status and (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size) for status in found]

    def sweep_incoming(self) -> None:
        """Remove all transfers that nobody works on: there is nothing more to come. Only under the lock."""
        with contextlib.suppress(OSError):
            sweep(self.directory)

    def remember(self, ledger: Ledger, *, fsync: bool) -> None:
        """Write the ledger, in one step; on a full disk, in the room that was set aside for it."""
        content = dump_ledger(ledger)
        self.make_way(LEDGER)
        try:
            self.directory.put_file(LEDGER, content, mode=0o600, fsync=fsync)
        except OSError as error:
            if not is_full(error):
                raise
            self.directory.remove(RESERVE)
            self.directory.put_file(LEDGER, content, mode=0o600, fsync=fsync)
        else:
            self.set_aside()

    def set_aside(self) -> None:
        """Keep room for the ledger, if there is any now."""
        if self.directory.status(RESERVE) is None:
            with contextlib.suppress(OSError):
                self.directory.write(RESERVE, bytes(RESERVE_BYTES), mode=0o600, fsync=False)

    def make_way(self, name: str, *, inside: Directory | None = None) -> None:
        """Remove a directory that somebody put where a link or a file of ours goes, which no rename would replace."""
        inside = inside or self.directory
        if inside.is_directory(name):
            # By way of the store: what can't be removed now is swept there later.
            doomed = new_name()
            inside.rename(name, doomed, into=self.directory)
            self.directory.remove(doomed)

    def sweep(self, *, source: str) -> None:
        """Remove what a killed refresher left: half-staged sets and temporary names. Only under the lock.

        Transfers of the source with this fingerprint that can go on stay.
        """
        for name in self.directory.names():
            if name.startswith(OURS):
                self.directory.remove(name)
        sweep(self.directory, source=source)

    def retire(self, number: int, *, now: datetime) -> None:
        """Note that readers were led away from this generation now."""
        moment = now.timestamp()
        # Through the open directory: by its name it may be a hard link to somebody's file.
        with contextlib.suppress(OSError), self.directory.child(directory_name(number)) as directory:
            os.utime(directory.fd, (moment, moment))

    def retired_at(self, number: int, *, now: datetime) -> datetime:
        """When readers were led away from it; now, if the volume says that it is still to come."""
        status = self.directory.status(directory_name(number))
        noted = status.st_mtime if status else 0.0
        if noted > now.timestamp():
            self.retire(number, now=now)
            return now
        return datetime.fromtimestamp(max(0.0, noted), UTC)

    def close(self, number: int) -> None:
        """Let nobody else read this retired generation."""
        with contextlib.suppress(OSError):
            self.directory.set_mode(directory_name(number), CLOSED)

    def reopen(self, number: int) -> None:
        """Let everybody read this generation again."""
        self.directory.set_mode(directory_name(number), OPEN)

    def quarantine(self, number: int) -> None:
        """Believe a damaged generation no more, though readers may still see it: without a manifest it is nothing."""
        with self.directory.child(directory_name(number)) as directory:
            directory.remove(MANIFEST)

    def drop(self, number: int) -> None:
        """Remove a generation: first its number, in one rename, so that no half of it is ever taken for a whole."""
        doomed = new_name()
        self.directory.rename(directory_name(number), doomed)
        self.directory.remove(doomed)

    def _locked(self, deadline: float) -> int:
        while True:
            fd = self._open_lock()
            with contextlib.ExitStack() as unless_locked:
                unless_locked.callback(os.close, fd)
                if _try_lock(fd) and self._is_lock(fd):
                    unless_locked.pop_all()
                    return fd
            if time.monotonic() > deadline:
                raise TransientError(f"another refresher is writing to {self.directory.path}")
            time.sleep(0.02)

    def _open_lock(self) -> int:
        status = self.directory.status(LOCK)
        if status and not stat.S_ISREG(status.st_mode):
            self.directory.remove(LOCK)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(LOCK, flags, 0o600, dir_fd=self.directory.fd)

    def _is_lock(self, fd: int) -> bool:
        # Somebody may have put another file there: two refreshers that each lock a file of their own are no lock.
        status = self.directory.status(LOCK)
        return status is not None and os.path.samestat(status, os.fstat(fd))


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
