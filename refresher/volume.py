"""Directories of the shared volume, held open, so that nothing planted there leads outside.

The main container may write into the volume. So every operation names one part relative to an open directory, no link
is followed, and nothing that could block (a FIFO, a device) is opened for waiting.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from refresher.errors import PermanentError, TransientError
from refresher.filenames import OURS, parts_of

OPEN = 0o755
"""Mode of a directory that readers go through."""
CLOSED = 0o700
"""Mode of a directory that only refresher goes into."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


_ADVICE = {
    errno.ENOSPC: "the volume is full",
    errno.EDQUOT: "the volume's quota is used up",
    errno.EROFS: "the file system is read-only: mount the volume writable in this container",
    errno.EACCES: "this user may not write here: see fsGroup or the directory's owner",
    errno.EPERM: "this user may not do that here: changing an owner needs CAP_CHOWN, a group membership in it",
    errno.EBUSY: "something is mounted there: publish into the directory above it, a mounted file can't be replaced",
    errno.EXDEV: "it lies on another file system than the volume: both have to be on one",
    errno.EISDIR: "a directory stands where a link or file has to go",
    errno.ENOTDIR: "a link or file stands where a directory has to be",
    errno.ELOOP: "a link stands where a directory or file has to be",
    errno.EMLINK: "the file system allows no more links",
}
_PASSES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: BaseException | None) -> bool:
    """Whether the system says that there is no room on the volume, or for this user on it."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextlib.contextmanager
def explained(where: Path) -> Iterator[None]:
    """Turn the system's errors below `where` into TransientError or PermanentError, with what to do about them."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, error.strerror or "unknown trouble")
        kind = TransientError if error.errno in _PASSES else PermanentError
        raise kind(f"writing to {where} failed ({errno.errorcode.get(error.errno or 0, '?')}): {advice}") from error


class Directory:
    """An open directory. Errors are OSError as the system gives them; `explained` says what to do about them."""

    def __init__(self, fd: int, path: Path) -> None:
        self.fd, self.path = fd, path

    @classmethod
    def at(cls, path: Path) -> Self:
        """Open a directory that the operator named; links on the way to it are his own and are followed."""
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)

    def child(self, name: str) -> "Directory":
        """Open the directory `name` in this one; NotADirectoryError if it is a link or anything else."""
        return Directory(os.open(name, _DIRECTORY, dir_fd=self.fd), self.path / name)

    def made(self, name: str) -> "Directory":
        """Open the directory `name`, made first (0755) if it is missing; whatever else stands there is refused."""
        with contextlib.suppress(FileNotFoundError):
            return self.child(name)
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, OPEN, dir_fd=self.fd)
        # Whatever the umask is: others have to find their way in.
        self.set_mode(name, OPEN)
        return self.child(name)

    def names(self) -> list[str]:
        """The names of all entries, in no order."""
        return os.listdir(self.fd)

    def is_directory(self, name: str) -> bool:
        """Whether `name` is a directory itself, not a link to one."""
        status = self.status(name)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def status(self, name: str) -> os.stat_result | None:
        """What `name` is, without following it; None if there is nothing."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def create(self, name: str) -> int:
        """A descriptor for writing the new file `name`, readable by nobody else."""
        return os.open(name, _CREATE, 0o600, dir_fd=self.fd)

    def reopen(self, name: str) -> int | None:
        """A descriptor to go on with the file `name`, readable by nobody else from now on.

        None, and nothing is there any more, if it isn't a file that nobody but this user has under any name.
        """
        status = self.status(name)
        if status is None:
            return None
        is_file, is_own = stat.S_ISREG(status.st_mode), status.st_uid == os.geteuid() and status.st_nlink == 1
        if not is_file or not is_own:
            self.remove(name)
            return None
        fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.fd)
        os.fchmod(fd, 0o600)
        return fd

    def open(self, name: str) -> FileIO:
        """The regular file `name` for reading; PermanentError if it is anything else."""
        # Looked at before, because opening a device can do something already; and after, because it may be swapped.
        self._refuse_special(name, os.stat(name, dir_fd=self.fd, follow_symlinks=False))
        fd = os.open(name, _READ, dir_fd=self.fd)
        try:
            self._refuse_special(name, os.fstat(fd))
        except PermanentError:
            os.close(fd)
            raise
        return FileIO(fd, "rb")

    def open_nested(self, name: str) -> FileIO:
        """The regular file with the relative name `name`, every part of it inside."""
        *above, last = parts_of(name)
        with contextlib.ExitStack() as opened:
            directory = self
            for part in above:
                directory = opened.enter_context(directory.child(part))
            return directory.open(last)

    def content(self, name: str, *, limit: int) -> bytes:
        """The regular file `name`, or its first `limit` bytes."""
        with self.open(name) as file:
            return file.read(min(limit, os.fstat(file.fileno()).st_size))

    def target(self, name: str) -> str | None:
        """Where the link `name` leads; None if `name` is no link."""
        try:
            return os.readlink(name, dir_fd=self.fd)
        except OSError:
            return None

    def write(self, name: str, content: bytes, *, mode: int, fsync: bool) -> None:
        """Make the new file `name` with `content`."""
        with os.fdopen(self.create(name), "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            if fsync:
                file.flush()
                os.fsync(file.fileno())

    def put_file(self, name: str, content: bytes, *, mode: int, fsync: bool) -> None:
        """Make `name` a file with `content` in one step, whatever file or link it was before."""
        with self.temporary() as temporary:
            self.write(temporary, content, mode=mode, fsync=fsync)
            self.rename(temporary, name)

    def put_link(self, name: str, target: str, *, into: "Directory") -> None:
        """Make `name` in `into` a link to `target` in one step, whatever file or link it was before.

        The temporary name is in this directory: whoever watches the other one sees one event, and never a leftover.
        """
        with self.temporary() as temporary:
            os.symlink(target, temporary, dir_fd=self.fd)
            self.rename(temporary, name, into=into)

    def put_hard_link(self, name: str, source: "Directory", *, into: "Directory") -> None:
        """Make `name` in `into` the file `name` of `source` in one step, whatever file or link it was before."""
        with self.temporary() as temporary:
            os.link(name, temporary, src_dir_fd=source.fd, dst_dir_fd=self.fd, follow_symlinks=False)
            self.rename(temporary, name, into=into)

    def rename(self, old: str, new: str, *, into: "Directory | None" = None) -> None:
        """Rename `old` to `new`, in this directory or into another one, replacing a file or link that is there."""
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=(into or self).fd)

    def remove(self, name: str) -> None:
        """Remove `name`, a directory with all that is in it; a link goes, what it leads to stays.

        Directories inside are lifted into this one first, so that no depth is too deep. What can't be removed stays.
        """
        if self._unlinked(name):
            return
        doomed = [name]
        with contextlib.suppress(OSError):
            while doomed:
                doomed += self._emptied(doomed.pop())

    def set_mode(self, name: str, mode: int) -> None:
        """Give the directory `name` this mode; the set-group-ID bit stays, by which an fsGroup reaches every file."""
        with self.child(name) as child:
            is_now = stat.S_IMODE(os.fstat(child.fd).st_mode)
            wanted = mode | (is_now & stat.S_ISGID)
            if is_now != wanted:
                os.fchmod(child.fd, wanted)

    def fsync(self) -> None:
        """Make the names in this directory durable."""
        os.fsync(self.fd)

    def free_bytes(self) -> int:
        """What can still be written to this file system without special rights."""
        facts = os.fstatvfs(self.fd)
        return facts.f_bavail * facts.f_frsize

    @contextlib.contextmanager
    def temporary(self) -> Iterator[str]:
        """A new name for what becomes something else by a rename; what has it is removed if that fails."""
        # A constant name would survive a crash and block every later publish.
        name = temporary_name()
        try:
            yield name
        except BaseException:
            self.remove(name)
            raise

    def _emptied(self, name: str) -> list[str]:
        if self._unlinked(name):
            return []
        self._opened_up(name)
        with self.child(name) as child:
            lifted = [self._lifted(child, entry) for entry in child.names() if not child._unlinked(entry)]
        os.rmdir(name, dir_fd=self.fd)
        return lifted

    def _unlinked(self, name: str) -> bool:
        try:
            os.unlink(name, dir_fd=self.fd)
        except IsADirectoryError:
            return False
        except FileNotFoundError:
            return True
        return True

    def _lifted(self, child: "Directory", name: str) -> str:
        lifted = temporary_name()
        child._opened_up(name)
        child.rename(name, lifted, into=self)
        return lifted

    def _opened_up(self, name: str) -> None:
        # Fails for a directory of somebody else's, who may let his group write to it all the same.
        with contextlib.suppress(PermissionError):
            self.set_mode(name, CLOSED)

    def _refuse_special(self, name: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise PermanentError(f"{self.path / name} is not a regular file")


def temporary_name() -> str:
    """A name of ours that nothing has had before, for what exists only until it is complete."""
    return f"{OURS}{secrets.token_hex(8)}"
