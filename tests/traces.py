"""Everything in a directory that a write would change."""

from pathlib import Path


def traces(directory: Path) -> dict[str, tuple[object, ...]]:
    """Content or target, inode, mode, links, size, and the moments of the last write and change of each entry."""
    return {str(path.relative_to(directory)): _facts(path) for path in [directory, *directory.rglob("*")]}


def _facts(path: Path) -> tuple[object, ...]:
    status = path.lstat()
    content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    facts = (status.st_ino, status.st_mode, status.st_nlink, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return content, *facts
