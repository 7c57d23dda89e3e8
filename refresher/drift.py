"""Drift: what somebody else changed in what readers see. Noticed by looking as a reader would, and repaired.

A look is one `stat` a file, along the path that the app uses: a removed link, a changed mode and a changed content all
show in it. Watching each directory would cost two threads an asset.
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from refresher.model import Asset, Generation, LayoutName

LOOK_EVERY = timedelta(seconds=10)
"""Between two looks: what somebody broke is whole again before most apps read it the next time."""

Sight = Mapping[str, tuple[int, ...] | None]
"""What a reader gets for each file: device, inode, mode, owner, size and last write; None where there is nothing.

And when the inode changed last, which nobody can set back; but each link to it changes that, too, so only for files
that refresher never links.
"""


def sight(asset: Asset, generation: Generation) -> Sight:
    """What readers see of this generation now."""
    root, is_linked = _root(asset, generation), asset.publish.layout is not LayoutName.FILE
    return {
        name: _seen(root / name, is_linked=is_linked and not staged.sensitive)
        for name, staged in generation.files.items()
    }


def _root(asset: Asset, generation: Generation) -> Path:
    if asset.publish.layout is LayoutName.VERSIONS:
        return asset.directory / str(generation.number)
    return asset.directory


def _seen(path: Path, *, is_linked: bool) -> tuple[int, ...] | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - without a Path's detour, this is what a look costs
    except OSError:
        return None
    facts = (status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid, status.st_size)
    return (*facts, status.st_mtime_ns, *(() if is_linked else (status.st_ctime_ns,)))
