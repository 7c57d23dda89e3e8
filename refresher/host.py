"""The machine that refresher runs on: its clock, its name, and since when. The one place that asks for them."""

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

FIRST = 1
"""The number of the first process of a container, or of a machine."""
BY_SIGTERM = 128 + signal.SIGTERM
"""The exit code that a shell reports for who was ended by SIGTERM."""
CALLING_THREAD = 0x20000000
"""__WNOTHREAD of linux/wait.h: wait for children of the calling thread, and of no other thread of the process."""


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def seed() -> str:
    """What makes this pod's moments different from its siblings': the host name, which in a pod is the pod's name."""
    return os.environ.get("HOSTNAME") or socket.gethostname()


def part_on_sigterm() -> None:
    """End on SIGTERM by an exception, as Python does on Ctrl-C: who has made something can take it back."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(BY_SIGTERM))


def begin() -> None:
    """What a process that publishes sets for itself: open directories, and all the descriptors that it may have."""
    os.umask(0o022)  # a narrower one would close directories on their way, until their mode is set
    # Container engines give 1024 at first and many more to who asks; a thousand assets hold as many connections.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def end_on_sigterm() -> None:
    """End at once on SIGTERM, as all do but the first process: for that one the kernel ignores what has no answer."""
    if os.getpid() == FIRST:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(BY_SIGTERM))


class End:
    """SIGTERM or SIGINT, from now on answered by nothing but the end of `wait`. To be made in the main thread.

    Not a `threading.Event`: a signal that comes while another one's handler sets it would wait for its lock for ever.
    """

    def __init__(self) -> None:
        self._asked_for = os.eventfd(0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os.eventfd_write(self._asked_for, 1))

    def wait(self) -> None:
        """Return when one of them has come."""
        os.read(self._asked_for, 8)  # unlike os.eventfd_read, it goes on after any other signal


def at_signal(number: signal.Signals, act: Callable[[], None]) -> None:
    """Have `act` called at this signal, in a thread of its own; for several that come while it runs, once more.

    To be called in the main thread. As `End`, the answer itself takes no lock that it could wait for.
    """
    came = os.eventfd(0)
    signal.signal(number, lambda *_: os.eventfd_write(came, 1))
    Thread(target=_answer, args=(came, act), name=number.name, daemon=True).start()


def _answer(came: int, act: Callable[[], None]) -> None:
    while os.read(came, 8):
        act()


def reap_orphans() -> None:
    """As the first process, wait for whom a command left in the background, or each stays a zombie when it has ended.

    To be called in the main thread: to that one the kernel gives orphans, and in that one Python answers signals.
    """
    if os.getpid() == FIRST:
        signal.signal(signal.SIGCHLD, lambda *_: _reap())


def _reap() -> None:
    """Other threads' children are theirs to wait for: whoever finds its child gone takes its exit code for 0."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG | CALLING_THREAD)[0]:
            pass


def boot() -> str:
    """What tells this run of the kernel from every other: after a power cut, what wasn't made durable may be wrong."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
