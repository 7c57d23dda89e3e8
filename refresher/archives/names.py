"""The names in one set of files: each once, however a reader spells it, and no more than allowed."""

import unicodedata
from collections.abc import Collection

from refresher.errors import RejectedError
from refresher.filenames import parts_of


class Names:
    """What has been named so far. Every entry counts, and every directory that one implies.

    A volume may take `A` and `a`, or two ways to write `é`, for one name; so would whoever looks at the list of files.
    """

    def __init__(self, taken: Collection[str], *, limit: int) -> None:
        self._files = {_folded(name): name for name in taken}
        self._directories = {_folded(above): above for name in taken for above in _above(parts_of(name))}
        self._count, self._limit = len(taken), limit

    def count(self) -> None:
        """Add one entry, whatever its name. Raises RejectedError for one too many."""
        self._count += 1
        if self._count > self._limit:
            raise RejectedError(f"there are more files and directories than limits.files ({self._limit})")

    def add_file(self, name: str) -> None:
        """Add a file. Raises RejectedError for a bad name, or one that something else has."""
        self._imply(_above(parts_of(name)))
        folded = _folded(name)
        other = self._files.get(folded) or self._directories.get(folded)
        if other is not None:
            raise _clash(name, other)
        self._files[folded] = name

    def add_directory(self, name: str) -> None:
        """Add a directory, which may have been named before. Raises RejectedError as `add_file` does."""
        self._imply(_above(parts_of(name)))
        self._add_directory(name)

    def _imply(self, directories: list[str]) -> None:
        for name in directories:
            if self._add_directory(name):
                self.count()

    def _add_directory(self, name: str) -> bool:
        folded = _folded(name)
        known = self._directories.get(folded)
        other = self._files.get(folded) or known
        if other is not None and (other != name or known is None):
            raise _clash(name, other)
        self._directories[folded] = name
        return known is None


def _above(parts: tuple[str, ...]) -> list[str]:
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _clash(name: str, other: str) -> RejectedError:
    if name == other:
        return RejectedError(f"the name {name!r} is given twice")
    return RejectedError(f"the names {name!r} and {other!r} are one and the same to some readers")


def _folded(name: str) -> str:
    """Canonical caseless matching (Unicode 3.13, D145)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
