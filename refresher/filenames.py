"""The names that a source, or an archive, may give its files: relative ones, which stay inside their directory."""

from collections.abc import Sequence

from refresher.errors import RejectedError

NAME_BYTES = 255
"""NAME_MAX of every Linux file system that a volume is on."""
PATH_BYTES = 1024
"""Bytes of a whole relative name; leaves room below PATH_MAX (4096) for the volume and the generation."""
PARTS = 64
"""Parts of a relative name: each of them is an open directory while a file is written."""
OURS = ".."
"""Every name that begins so belongs to refresher."""


def parts_of(name: str) -> tuple[str, ...]:
    """The parts of a relative file name that stays inside its directory. Raises RejectedError for any other."""
    parts = tuple(name.split("/"))
    problem = _problem(name, parts)
    if problem:
        raise RejectedError(f"the file name {name[:300]!r} {problem}")
    return parts


def names_problem(names: Sequence[str]) -> tuple[str, str] | None:
    """The first name under which nothing can be published here, and why; None if all can."""
    taken = set(names)
    for name in names:
        try:
            split = parts_of(name)
        except RejectedError as error:
            return name, str(error)
        if any("/".join(split[:length]) in taken for length in range(1, len(split))):
            return name, "is below another file, as if that were a directory"
    return None


def _problem(name: str, parts: tuple[str, ...]) -> str | None:
    if not name.isprintable() or "\\" in name:
        return "has control characters, backslashes or bytes that are no text"
    if name.startswith("/"):
        return "is absolute"
    if any(part in {"", "."} for part in parts):
        return "has an empty part"
    if any(part.startswith(OURS) for part in parts):
        return "has a part that begins with '..'"
    if any(len(part.encode()) > NAME_BYTES for part in parts) or len(name.encode()) > PATH_BYTES:
        return f"is too long (at most {NAME_BYTES} bytes a part, {PATH_BYTES} in all)"
    if len(parts) > PARTS:
        return f"has too many parts (at most {PARTS})"
    return None
