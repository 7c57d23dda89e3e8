"""Which files a commit has below a path, and which trees are no set of files."""

import stat
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from dulwich.errors import NotTreeError
from dulwich.object_store import MemoryObjectStore, iter_tree_contents, peel_sha, tree_lookup_path
from dulwich.objects import S_ISGITLINK, Commit, ObjectID, SubmoduleEncountered, TreeEntry

from refresher.errors import PermanentError

MOST = 100_000
"""Files and directories. A few trees that contain each other many times over make billions of them."""


class Leaf(NamedTuple):
    """What a tree names: its path there, its id, and why it is not to be published, empty for a file."""

    name: str
    id: ObjectID
    flaw: str


def leaves(store: MemoryObjectStore, revision: ObjectID, path: str) -> Iterator[Leaf]:
    """Everything below `path`, its names relative to that. Raises PermanentError."""
    _, commit = peel_sha(store, revision)
    if not isinstance(commit, Commit):
        raise PermanentError(f"{revision.decode()} is no commit")
    try:
        mode, found = tree_lookup_path(store.__getitem__, commit.tree, path.encode())
    except (KeyError, NotTreeError, SubmoduleEncountered):
        raise PermanentError(f"the commit {revision.decode()} has no {path}") from None
    for entry in _entries(store, path, mode, found):
        if not stat.S_ISDIR(entry.mode):
            name = entry.path.decode("utf-8", "replace")
            yield Leaf(name, entry.sha, _flaw(name, entry.mode))


def _entries(store: MemoryObjectStore, path: str, mode: int, found: ObjectID) -> Iterator[TreeEntry]:
    if not stat.S_ISDIR(mode):
        yield TreeEntry(path.rpartition("/")[2].encode(), mode, found)
        return
    everything = iter_tree_contents(store, found, include_trees=True)
    yield from islice(everything, MOST)
    if next(everything, None) is not None:
        raise PermanentError(f"{path or 'the repository'} has more than {MOST} files and directories")


def _flaw(name: str, mode: int) -> str:
    if S_ISGITLINK(mode):
        return "is a submodule; make another asset of its repository"
    if stat.S_ISLNK(mode):
        return "is a symbolic link, which can lead anywhere; commit the file"
    if "\ufffd" in name:
        return "is not written in UTF-8"
    if ".git" in name.lower().split("/"):
        return "would be taken for a repository's own"
    return ""
