"""The machine that refresher runs on: its clock and its name. The one place that asks for either."""

import os
import socket
from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def seed() -> str:
    """What makes this pod's moments different from its siblings': the host name, which in a pod is the pod's name."""
    return os.environ.get("HOSTNAME") or socket.gethostname()
