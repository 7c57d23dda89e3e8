"""Telling by a file: the change as JSON, for apps that watch one path, or read it when they like.

Written as what is published is: complete under another name first, then renamed, so that a reader finds the old or the
new one. (1) open the directory; (2) sweep what a crash left; (3) write a file of a new, unique name, and fsync it;
(4) rename it; (5) fsync the directory.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from refresher.abilities import Observation
from refresher.contract import Change
from refresher.errors import TransientError
from refresher.notifiers.confirm import ConfirmOptions, confirm, observed
from refresher.options import Mode

_ENDING = ".new"


class MarkerOptions(BaseModel):
    """Where the file is: `path`, which the configuration makes absolute; its directory has to be there already.

    A directory that isn't there is not made: that would hide a volume that isn't mounted. `confirm` looks afterwards at
    what the app runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    volume_paths: ClassVar[frozenset[str]] = frozenset({"path"})

    path: Path
    mode: Mode = 0o644
    confirm: ConfirmOptions | None = None


class MarkerNotifier:
    """Replaces a file by the newest change."""

    Options = MarkerOptions

    def __init__(self, options: MarkerOptions) -> None:
        self._options = options

    def notify(self, change: Change) -> None:
        """Raises TransientError if it can't be written, or isn't confirmed."""
        content = json.dumps(change.document(), indent=2).encode() + b"\n"
        try:
            with _opened(self._options.path.parent) as directory:  # 1
                self._replace(directory, content)
        except OSError as error:
            raise TransientError(f"the marker {self._options.path} can't be written: {error.strerror}") from error
        confirm(self._options.confirm, change)

    def diagnose(self, change: Change | None) -> Iterator[Observation]:
        """Whether the marker can be written, and nothing is; and what the app runs, if it can be asked."""
        yield self._writable()
        yield from observed(self._options.confirm, change)

    def _writable(self) -> Observation:
        path = self._options.path
        try:
            with _opened(path.parent) as directory:
                free = os.access(".", os.W_OK | os.X_OK, dir_fd=directory, effective_ids=True)
        except OSError as error:
            advice = "Make the directory, or mount the volume that it is on."
            return Observation.fail("marker", f"{path.parent} can't be opened: {error.strerror}", advice)
        if path.is_dir() and not path.is_symlink():
            return Observation.fail("marker", f"{path} is a directory", "Remove it, or name another path.")
        if not free:
            advice = "Let this user write there: see fsGroup or the directory's owner."
            return Observation.fail("marker", f"user {os.geteuid()} may not write to {path.parent}", advice)
        return Observation.ok("marker", f"{path} can be written")

    def _replace(self, directory: int, content: bytes) -> None:
        name = self._options.path.name
        _sweep(directory, f"..{name}.")  # 2
        temporary = f"..{name}.{secrets.token_hex(8)}{_ENDING}"
        try:
            self._write(directory, temporary, content)  # 3
            # A link that somebody put at the marker's path is replaced, never followed.
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)  # 4
        except OSError:
            _remove(directory, temporary)
            raise
        os.fsync(directory)  # 5

    def _write(self, directory: int, name: str, content: bytes) -> None:
        # Exclusive and not through a link: in a directory that others may write to, the name could be somebody's trap.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=directory), "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), self._options.mode)
            os.fsync(file.fileno())


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    """Open a directory of the volume, no link followed below the mount point: there, links are somebody else's."""
    mount = next(above for above in (directory, *directory.parents) if above.is_mount())
    with contextlib.ExitStack() as opened:
        descriptor = _descend(mount, None, opened)
        for part in directory.relative_to(mount).parts:
            descriptor = _descend(part, descriptor, opened)
        yield descriptor


def _descend(name: str | Path, above: int | None, opened: contextlib.ExitStack) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if above is None else os.O_NOFOLLOW)
    descriptor = os.open(name, flags, dir_fd=above)
    opened.callback(os.close, descriptor)
    return descriptor


def _sweep(directory: int, beginning: str) -> None:
    for name in os.listdir(directory):
        if name.startswith(beginning) and name.endswith(_ENDING):
            _remove(directory, name)


def _remove(directory: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)
