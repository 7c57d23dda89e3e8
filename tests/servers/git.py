"""A repository on the Git server that examples/custom-provider brings for its own tests."""

import runpy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

EXAMPLE = Path(__file__).parents[2] / "examples/custom-provider"


class Repository(Protocol):
    """As the example's."""

    url: str

    def commit(self, files: Mapping[str, bytes], *, branch: str = "main") -> bytes:
        """The id of a commit with these files, and no others."""
        ...


@contextmanager
def git_repository(directory: Path) -> Iterator[Repository]:
    """A new one, served on loopback until the context ends."""
    theirs = runpy.run_path(str(EXAMPLE / "tests/serving.py"))
    found = theirs["Repository"](directory / "settings.git")
    with theirs["served"](theirs["git_server"](found)) as address:
        found.url = f"{address}/settings.git"
        yield found
    found.repo.close()
