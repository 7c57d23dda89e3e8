"""An asset's place on the volume: rights, file system, room. Asked by calls that leave no trace, never by a try."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from refresher.abilities import Observation
from refresher.doctor.mounts import mount_of
from refresher.errors import PermanentError
from refresher.foresight import troubles
from refresher.model import Asset, Generation, LayoutName
from refresher.place import holding_on, looked_into, store_path
from refresher.words import size

POSIX = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"})
"""File systems with all that publishing needs: rename that replaces at once, both kinds of links, fsync, locks."""
WITHOUT_LINKS = frozenset({"cifs", "exfat", "msdos", "smb3", "vfat"})
"""File systems without symbolic links, unless mounted in a special way, and without a file's owner or mode."""
OURS = 16
"""Inodes of one publish beside the files: directories, manifest, links."""


def volume(asset: Asset) -> Iterator[Observation]:
    """Whether the next generation can be published there. Raises PermanentError for what can't be read."""
    if not os.path.isdir(asset.volume):
        seen = f"{asset.volume} is not a directory that is there, or this user can't look into one above it"
        yield Observation.fail("volume", seen, "Mount the shared volume at this path in this container.")
        return
    is_link = asset.publish.layout is LayoutName.LINK
    where = _existing(asset.directory.parent if is_link else asset.directory)
    yield from _rights(asset, where)
    yield _file_system(where)
    yield _one_mount(asset, where)
    yield from _room(asset, where)
    yield from _trigger(asset.refresh.trigger)


def _existing(path: Path) -> Path:
    """The path, or the nearest directory above that is there."""
    return next(each for each in (path, *path.parents) if os.path.isdir(each))


def _rights(asset: Asset, where: Path) -> Iterator[Observation]:
    facts = where.stat()
    shown = f"{where} is {stat.filemode(facts.st_mode)} {facts.st_uid}:{facts.st_gid}"
    if os.statvfs(where).f_flag & os.ST_RDONLY:
        yield Observation.fail("rights", f"{shown}, on a file system that is read-only", "Mount the volume writable.")
        return
    found = list(troubles(asset))
    for trouble in found:
        advice = f"{trouble.advice[0].upper()}{trouble.advice[1:]}."
        yield Observation.fail("rights", f"{shown}: {trouble.seen}", advice)
    if not found:
        yield Observation.ok("rights", f"{shown}; user {os.geteuid()} may write there")


def _file_system(where: Path) -> Observation:
    mount = mount_of(where)
    if mount is None:
        return Observation.skipped("file system", "this system doesn't say what is mounted")
    shown = f"{mount.type}, mounted at {mount.point}"
    if mount.type in POSIX:
        return Observation.ok("file system", shown)
    if mount.type in WITHOUT_LINKS:
        advice = "Use a local volume, such as an emptyDir, or publish.layout: file."
        return Observation.fail("file system", f"{shown}, has no links and no modes of files", advice)
    advice = "See that rename replaces at once there, and that it has links, fsync and flock; an emptyDir has."
    return Observation.warn("file system", f"{shown}, which is none of the local ones that are known to work", advice)


def _one_mount(asset: Asset, where: Path) -> Observation:
    """A rename from one mount into another fails, even on one file system (rename(2), EXDEV)."""
    store = _existing(store_path(asset))
    if mount_of(store) == mount_of(where):
        return Observation.ok("one mount", "what is fetched and what is shown are on one")
    seen = f"generations are kept below {store}, on another mount than {where}"
    return Observation.fail(
        "one mount", seen, "Mount one volume above both, or choose another publish.store or layout."
    )


def _room(asset: Asset, where: Path) -> Iterator[Observation]:
    facts = os.statvfs(where)
    free, inodes = facts.f_bavail * facts.f_frsize, facts.f_favail
    current = holding_on(asset).current
    if current is None:
        yield Observation.ok("room", f"{size(free)} free; what is to come isn't known yet")
        return
    one = sum(file.size for file in current.files.values())
    sets = max(1, asset.publish.keep + 1 - _kept(asset))
    seen = f"{size(free)} free; generation {current.number} has {size(one)}, and {sets} more of that may come"
    advice = "Give the volume more room, lower publish.keep, or set publish.make_room."
    if free < one:
        yield Observation.fail("room", f"{seen}: not even one fits", advice)
    elif free < one * sets:
        yield Observation.warn("room", f"{seen} before the oldest goes", advice)
    else:
        yield Observation.ok("room", seen)
    yield from _inodes(current, inodes, total=facts.f_files)


def _trigger(path: Path | None) -> Iterator[Observation]:
    if path is None:
        return
    directory, who = path.parent, f"user {os.geteuid()}"
    if not directory.is_dir():
        advice = "Make the directory, or mount the volume that it is on."
        yield Observation.fail("trigger file", f"{directory} is not a directory that is there", advice)
    elif not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        advice = "Let this user write there; until then the file stays, and asks again when it is touched."
        yield Observation.warn("trigger file", f"{who} may not remove {path}", advice)
    else:
        yield Observation.ok("trigger file", f"{path} is heard, and {who} may remove it")


def _inodes(current: Generation, free: int, *, total: int) -> Iterator[Observation]:
    # Some file systems make them as they need them, and count none.
    if total and free < len(current.files) + OURS:
        seen = f"{free} inodes free, and a generation needs {len(current.files) + OURS}"
        yield Observation.fail("inodes", seen, "Remove files from the volume, or make it with more inodes.")


def _kept(asset: Asset) -> int:
    try:
        with looked_into(asset) as place:
            return len(place.store.numbers()) if place else 0
    except OSError as error:
        raise PermanentError(f"{asset.directory} can't be read: {error.strerror}") from error
