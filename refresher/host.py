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

FIRST = 1
"""The number of the first process of a container, or of a machine."""
ENDING = {signal.SIGTERM, signal.SIGINT}
"""What a container engine sends, and Ctrl-C."""
BY_SIGTERM = 128 + signal.SIGTERM
"""The exit code that a shell reports for who was ended by SIGTERM."""
AT_ONCE = 64
"""Signals that are read from their pipe at once, a byte each; more wait in it."""
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

    The interpreter writes each signal's number into a pipe at once, and `wait` reads it. Handlers do nothing: one that
    took a lock, as that of `threading.Event`, could interrupt who holds it; and as the kernel gives a signal to another
    thread while one is pending here, a handler may run only when this thread goes on for another reason.
    """

    def __init__(self) -> None:
        self._reading, writing = os.pipe()
        os.set_blocking(writing, False)
        # First, because who has a handler and no pipe loses what comes between.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._calls: dict[int, Callable[[], object]] = {}
        for number in ENDING:
            signal.signal(number, _heard)

    def answer(self, number: int, call: Callable[[], object]) -> None:
        """Answer another signal with a call, which `wait` makes: a handler may interrupt who holds a lock it needs."""
        self._calls[number] = call
        signal.signal(number, _heard)

    def wait(self) -> None:
        """Return when one of them has come; meanwhile, answer others."""
        while True:
            came = set(os.read(self._reading, AT_ONCE))
            if came & ENDING:
                return
            for number in came & self._calls.keys():
                self._calls[number]()


def _heard(*_: object) -> None:
    """Nothing, but instead of what the kernel does with a signal that nobody handles."""


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
