"""What is mounted where, as the kernel says it (proc_pid_mountinfo(5))."""

import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system: its number, where it is, and its type."""

    number: int
    point: Path
    type: str


def mount_of(path: Path, mountinfo: str | None = None) -> Mount | None:
    """The mount that an existing path is in: the last one at the longest point above it; None if nobody says."""
    real = path.resolve()
    lines = (MOUNTINFO.read_text() if mountinfo is None else mountinfo).splitlines()
    around = [mount for mount in map(_mount, lines) if real.is_relative_to(mount.point)]
    return max(reversed(around), key=lambda mount: len(mount.point.parts), default=None)


def _mount(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    number, _, _, _, point, *_ = before.split(" ")
    return Mount(int(number), Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), point)), after.split(" ")[0])
