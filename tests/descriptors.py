"""What this process has open."""

from contextlib import suppress
from pathlib import Path


def descriptors() -> set[tuple[str, str]]:
    """Each open descriptor and what it is for. A count would tell too what is closed just now of an earlier test."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it is closed by now, as the listing's own is
            found.add((descriptor.name, str(descriptor.readlink())))
    return found
