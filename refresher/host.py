"""The machine that refresher runs on: its clock, its name, and since when. The one place that asks for them."""

import os
import resource
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def seed() -> str:
    """What makes this pod's moments different from its siblings': the host name, which in a pod is the pod's name."""
    return os.environ.get("HOSTNAME") or socket.gethostname()


def begin() -> None:
    """What a process that publishes sets for itself: open directories, and all the descriptors that it may have."""
    os.umask(0o022)  # a narrower one would close directories on their way, until their mode is set
    # Container engines give 1024 at first and many more to who asks; a thousand assets hold as many connections.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def boot() -> str:
    """What tells this run of the kernel from every other: after a power cut, what wasn't made durable may be wrong."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
