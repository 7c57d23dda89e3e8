"""Files below an open directory, by relative names of several parts: each part is opened by itself, without links.

Errors are OSError as the system gives them; RejectedError for a name that leads outside.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

from refresher.filenames import parts_of
from refresher.volume import Directory


@contextlib.contextmanager
def above(
    root: Directory, name: str, *, reach: Callable[[Directory, str], Directory]
) -> Iterator[tuple[Directory, str]]:
    """The open directory that the file is in, and its last part; `reach` opens or makes each directory on the way."""
    *parents, last = parts_of(name)
    with contextlib.ExitStack() as opened:
        directory = root
        for parent in parents:
            directory = opened.enter_context(reach(directory, parent))
        yield directory, last


def move(name: str, root: Directory, *, into: Directory) -> None:
    """Rename the file below `root` to the same name below `into`."""
    with (
        above(root, name, reach=Directory.child) as (source, last),
        above(into, name, reach=Directory.made) as (new, _),
    ):
        source.rename(last, last, into=new)


def remove(name: str, root: Directory) -> None:
    """Remove the file below `root`."""
    with above(root, name, reach=Directory.child) as (directory, last):
        directory.remove(last)


@contextlib.contextmanager
def link(name: str, into: Directory, *, source: Directory, source_name: str) -> Iterator[os.stat_result]:
    """Make `name` below `into` a hard link to a file below `source`, which can be looked at first.

    If something is raised then, there is no link.
    """
    with (
        above(source, source_name, reach=Directory.child) as (kept, kept_name),
        above(into, name, reach=Directory.made) as (target, last),
        target.temporary() as temporary,
    ):
        os.link(kept_name, temporary, src_dir_fd=kept.fd, dst_dir_fd=target.fd, follow_symlinks=False)
        yield os.stat(temporary, dir_fd=target.fd, follow_symlinks=False)
        # First, because a rename between two names of one file does nothing.
        target.remove(last)
        target.rename(temporary, last)
