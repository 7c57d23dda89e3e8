"""Where assets' directories and markers are, and that none is inside another: known without looking at a disk."""

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from refresher.settings.paths import Place, written


def below_volume(volume: Path, path: str) -> Path:
    """The path, made absolute by the volume if it is relative; `.` and `..` are resolved by their spelling."""
    return Path(os.path.normpath(volume / path))


def problem_below_volume(path: str) -> str | None:
    """Why a directory or marker can't be there, None if it can."""
    parts = Path(path).parts
    if ".." in parts:
        return f"must not go up with '..', found {path!r}"
    if any(part.startswith("..") for part in parts):
        return f"must not have a part that begins with '..', because those are refresher's own, found {path!r}"
    return "must not be empty" if not path else None


def overlaps(
    volume: Path,
    directories: Mapping[str, tuple[Place, Path]],
    markers: Sequence[tuple[Place, Path]],
    triggers: Sequence[tuple[Place, Path]],
) -> Iterator[tuple[Place, str]]:
    """What assets, markers and trigger files would take from each other; `directories` by asset name."""
    owners: dict[Path, str] = {}
    for name, (place, directory) in directories.items():
        if directory == volume or directory in volume.parents:
            yield place, f"must be a directory below the volume {volume}, not the volume itself, found '{directory}'"
        if directory in owners:
            yield place, f"is the same directory as that of the asset {owners[directory]!r}, {directory}"
        owners.setdefault(directory, name)
    for place, directory in directories.values():
        for outer in _around(directory, owners):
            yield place, f"{directory} is inside the directory of the asset {owners[outer]!r}, {outer}"
    yield from _misplaced(owners, markers)
    yield from _unheard(volume, owners, {path for _, path in markers}, triggers)


def _misplaced(owners: Mapping[Path, str], markers: Sequence[tuple[Place, Path]]) -> Iterator[tuple[Place, str]]:
    written_by: dict[Path, Place] = {}
    for place, path in markers:
        yield from _inside(owners, place, path)
        if path in written_by:
            yield place, f"{path} is written by {written(written_by[path])} too"
        written_by.setdefault(path, place)


def _unheard(
    volume: Path, owners: Mapping[Path, str], markers: Set[Path], triggers: Sequence[tuple[Place, Path]]
) -> Iterator[tuple[Place, str]]:
    """Trigger files where none can be; several assets may have the same one."""
    above = {volume, *volume.parents, *(parent for path in (*owners, *markers) for parent in path.parents)}
    for place, path in triggers:
        yield from _inside(owners, place, path)
        if path in markers:
            yield place, f"{path} is a marker, which is written and not read"
        elif path in above:
            yield place, f"must be a file, found '{path}', which is a directory"


def _inside(owners: Mapping[Path, str], place: Place, path: Path) -> Iterator[tuple[Place, str]]:
    for outer in (path, *path.parents):
        if outer in owners:
            yield place, f"{path} must not be inside the directory of the asset {owners[outer]!r}, {outer}"


def _around(path: Path, owners: Mapping[Path, str]) -> list[Path]:
    return [parent for parent in path.parents if parent in owners]
