"""What can be seen on this machine, before anything is fetched, of why publishing would fail there.

Asked by `os.path`, for which what this user can't look into isn't there; a `Path` raises PermissionError for it.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from refresher.landing import ids_of
from refresher.model import Asset, LayoutName


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is seen, and what to do about it; the two make one sentence."""

    seen: str
    advice: str

    def __str__(self) -> str:
        return f"{self.seen}: {self.advice}"


def foreseen(assets: Iterable[Asset]) -> list[str]:
    """A sentence for each trouble, each once. That a volume is not here is normal: it is mounted in the pod."""
    return list(dict.fromkeys(sentence for asset in assets for sentence in _sentences(asset)))


def _sentences(asset: Asset) -> Iterator[str]:
    if os.path.isdir(asset.volume):
        yield from (f"{asset.name}: {trouble}" for trouble in troubles(asset))
    else:
        yield f"{asset.volume} is not here, so nothing can be said about what is in it"


def troubles(asset: Asset) -> Iterator[Trouble]:
    """Why an asset can't be published in its volume, which is here."""
    existing = next(path for path in (asset.directory, *asset.directory.parents) if os.path.exists(path))
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Trouble(f"this user may not write to {existing}", "see fsGroup or the directory's owner")
    yield from _in_the_way(asset)
    yield from _mounted(asset)
    yield from _not_ours_to_give(asset)


def _in_the_way(asset: Asset) -> Iterator[Trouble]:
    directory = asset.directory
    if asset.publish.layout is LayoutName.LINK:
        if os.path.isdir(directory) and not os.path.islink(directory):
            yield Trouble(f"{directory} is a directory where the layout `link` puts a link", "remove it")
    elif os.path.islink(directory) or (os.path.exists(directory) and not os.path.isdir(directory)):
        yield Trouble(f"{directory} is not a directory, and files are to be published in it", "remove it")


def _mounted(asset: Asset) -> Iterator[Trouble]:
    directory = asset.directory
    if asset.publish.layout is LayoutName.LINK and os.path.ismount(directory):
        yield Trouble(f"{directory} is a mount point, which no link can replace", "mount the directory above it")
    if asset.publish.layout is LayoutName.FILE:
        for path in _entries(directory):
            if os.path.ismount(path):
                yield Trouble(f"{path} is a mounted file (subPath), which can't be replaced", "mount its directory")


def _not_ours_to_give(asset: Asset) -> Iterator[Trouble]:
    owner, group = ids_of(asset.publish)
    advice = "give refresher that capability, or leave the option out"
    if os.geteuid() == 0:
        return
    if owner not in {-1, os.geteuid()}:
        yield Trouble(f"publish.owner {owner} needs the right to change owners (CAP_CHOWN)", advice)
    if group not in {-1, os.getegid(), *os.getgroups()}:
        yield Trouble(f"publish.group {group} is none of this user's groups, and needs CAP_CHOWN", advice)


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if os.path.isdir(directory) and os.access(directory, os.R_OK) else []
