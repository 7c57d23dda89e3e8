"""Reading a candidate's files, of which a verifier doesn't know yet whether they are sensible."""

from collections.abc import Iterable

from refresher.contract import FileSet
from refresher.errors import RejectedError

NAMES_IN_A_MESSAGE = 5


def content(files: FileSet, name: str, *, limit: int) -> bytes:
    """The whole file. Raises RejectedError if it's missing, or larger than `limit` bytes."""
    require(files, name)
    size = files.files[name].size
    if size > limit:
        raise RejectedError(f"{name} has {size} bytes, and at most {limit} are read to check it")
    with files.open(name) as file:
        return file.read(limit)


def text(files: FileSet, name: str, *, limit: int) -> str:
    """The whole file as text. Raises RejectedError as `content` does, and if it isn't UTF-8."""
    try:
        return content(files, name, limit=limit).decode()
    except UnicodeDecodeError as error:
        position = error.start
    raise RejectedError(f"{name} is not UTF-8 text: byte {position} can't be decoded")


def require(files: FileSet, name: str) -> None:
    """Raises RejectedError if the file is missing."""
    if name not in files.files:
        raise RejectedError(f"{name} is missing; there are: {listed(files.files) or 'no files'}")


def listed(names: Iterable[str]) -> str:
    """Some names for a message, and how many more there are."""
    every = sorted(names)
    shown = ", ".join(name if name.isprintable() else ascii(name) for name in every[:NAMES_IN_A_MESSAGE])
    more = len(every) - NAMES_IN_A_MESSAGE
    return f"{shown} and {more} more" if more > 0 else shown
