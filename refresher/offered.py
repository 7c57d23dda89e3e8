"""What a source offers, as one asset takes it: whole or unpacked, under which revision, and how much of it."""

from refresher.archives import is_archive
from refresher.contract import Fetched, InlineFile, RemoteFile
from refresher.errors import RejectedError
from refresher.held_file import HeldFile
from refresher.model import Asset, Limits


def is_unpacked(file: RemoteFile, asset: Asset) -> bool:
    """Whether the files in it come in its place; what is held was unpacked when it came."""
    return asset.unpack and is_archive(file.name) and not isinstance(file, HeldFile)


def limit_of(file: RemoteFile, asset: Asset) -> int:
    """Bytes that the file may have; an archive counts by what is in it."""
    if is_unpacked(file, asset):
        return asset.limits.total
    return asset.limits.of_file(sensitive=file.sensitive)


def revision_of(file: RemoteFile, fetched: Fetched) -> str:
    """The file's own revision, else that of the whole answer; empty if equal ones don't mean equal bytes."""
    if isinstance(file, InlineFile):
        return ""
    # Not isinstance(file, Versioned), which looks the protocol's names up anew each time: 12 µs a file on Python 3.11.
    # And a plugin's file may have an attribute of this name that means something else.
    revision: object = getattr(file, "revision", "" if fetched.minted else fetched.revision)
    return revision if isinstance(revision, str) else ""


def refuse_total(total: int, limits: Limits) -> None:
    """RejectedError for so many bytes in all files together."""
    if total > limits.total:
        raise RejectedError(f"the files are more than limits.total ({limits.total} bytes) together")
