"""Real servers as child processes: on a free loopback port, waited for until they answer, ended by their pid."""

import contextlib
import functools
import itertools
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

STARTS_WITHIN = 60.0
"""Seconds; a cold machine with two busy cores takes up to ten."""
ENDS_WITHIN = 30.0
"""Seconds; it takes less than one, unless the machine has much else to do."""
BLOCK = 200
"""Ports that one process has for itself."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on, and that no other process here is given while this one lives.

    Asking the kernel for any free port isn't enough: whoever asks while our server is still starting gets the same one,
    and whose server answers there first passes for the other's.
    """
    for port in itertools.islice(_own_ports(), BLOCK):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("none of this process's ports is free on loopback")


@functools.cache
def _own_ports() -> Iterator[int]:
    """The ports of this process, round and round, claimed by the name of a socket that ends with it.

    They are below what Linux gives to outgoing connections (net.ipv4.ip_local_port_range begins at 32768).
    """
    blocks = list(range(10_000, 32_000, BLOCK))
    random.shuffle(blocks)
    for first in blocks:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0refresher's ports from {first}")
        except OSError:
            claim.close()
            continue
        claim.detach()  # open as long as the process lives
        # Not one after the other: some servers take the port after theirs, too.
        return itertools.cycle(random.sample(range(first, first + BLOCK), BLOCK))
    raise RuntimeError("all blocks of ports are claimed by other processes")


def program(name: str) -> str:
    """The path of a program that a package of the `demo` extra installed beside this Python."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise FileNotFoundError(f"{name} is not installed beside {sys.executable}: pip install '.[demo]' in a checkout")
    return str(path)


@contextlib.contextmanager
def running(
    argv: Sequence[str],
    *,
    log: Path,
    answers: Callable[[], bool],
    env: Mapping[str, str] | None = None,
    user: str | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `argv` until the context ends, its output in `log`; entered once `answers()` is true.

    `user` is the account to run it as, for root only; None: our own.

    Raises RuntimeError with the end of the log if it exits or doesn't answer in time.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=log.parent, user=user
        )
    try:
        _wait(child, answers, log)
        yield child
    finally:
        end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask the process to end; kill it if it hasn't within `ENDS_WITHIN`."""
    child.terminate()
    try:
        child.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _wait(child: subprocess.Popen[bytes], answers: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while child.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if answers():
                return
        time.sleep(0.02)
    tail = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{child.args!r} does not answer; the end of its log:\n{tail}")
