"""As the first process of a container: in a process namespace of its own, which only root can make."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.raw_server import raw_server
from tests.journeys.sidecar import Sidecar
from tests.waiting import until

NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def children(pid: int) -> list[int]:
    """Those that live, and those that have ended and that nobody has waited for."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for listed in lists for child in listed.read_text().split()]


class First(Sidecar):
    """A sidecar that is the first process where it runs."""

    def _argv(self, *words: str) -> list[str]:
        return [*NAMESPACE, *super()._argv(*words)]

    @property
    def pid(self) -> int:
        """Its number as seen from here."""
        assert self.process is not None
        (pid,) = children(self.process.pid)
        return pid

    def terminated(self) -> int:
        """Send SIGTERM, and answer the exit code. Whoever takes longer than half a minute fails the test."""
        assert self.process is not None
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def first(directory: Path, *, source: str, command: str = "true") -> Iterator[First]:
    """One that isn't started yet, with one asset, and with a shell command to tell its app."""
    notify = [{"command": {"argv": ["sh", "-c", command], "timeout": "10m"}}]
    sidecar = First(directory, {"assets": {"settings": {"source": source, "notify": notify}}}, {})
    try:
        yield sidecar
    finally:
        if sidecar.process is not None and sidecar.process.poll() is None:
            sidecar.kill()


@pytest.fixture
def endless() -> Iterator[str]:
    """The address of a download that goes on until it is given up."""
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while not over.wait(0.05):
            connection.sendall(bytes(1 << 16))

    with raw_server(answer) as address:
        yield f"{address}/model.bin"
        over.set()


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "settings.json"
    path.write_text("{}")
    return path.as_uri()


@pytest.mark.parametrize("leaving", ["{} &", "setsid sh -c '{}' &"], ids=["a job", "a leader of its own session"])
def test_what_a_command_left_in_the_background_is_no_zombie_when_it_has_ended(
    tmp_path: Path, source: str, leaving: str
) -> None:
    go = tmp_path / "go"
    waiting = f"while [ ! -e {go} ]; do sleep 0.05; done"
    with first(tmp_path, source=source, command=leaving.format(f"({waiting})")) as sidecar:
        sidecar.start()
        (orphan,) = until(lambda: sidecar.state("settings")["notified_generation"] and children(sidecar.pid))
        go.touch()
        until(lambda: orphan not in children(sidecar.pid))
        assert sidecar.terminated() == 0


WAITER = """
import os, signal, subprocess, threading
from refresher import host

host.reap_orphans()
ended, reaped = threading.Event(), threading.Event()

def wait() -> None:
    child = subprocess.Popen(["sh", "-c", "exit 65"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    ended.set()
    reaped.wait()
    print(os.getpid(), child.wait())

waiter = threading.Thread(target=wait)
waiter.start()
ended.wait()
signal.raise_signal(signal.SIGCHLD)
reaped.set()
waiter.join()
"""


def test_the_exit_code_of_a_command_is_left_to_the_thread_that_started_it() -> None:
    argv = [*NAMESPACE, sys.executable, "-c", WAITER]
    assert subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout == "1 65\n"


def test_a_download_that_goes_on_does_not_hold_up_the_end(tmp_path: Path, endless: str) -> None:
    with first(tmp_path, source=endless) as sidecar:
        sidecar.start()
        until(lambda: sidecar.state("settings")["transfer"])
        assert sidecar.terminated() == 0


def test_a_wish_by_signal_is_heard_there_too(tmp_path: Path, source: str) -> None:
    with first(tmp_path, source=source) as sidecar:
        sidecar.start()
        os.kill(sidecar.pid, signal.SIGUSR1)
        until(lambda: 'refresher_triggers_total{asset="settings",trigger="signal"} 1.0' in sidecar.metrics())
        assert sidecar.terminated() == 0


def test_a_command_that_hangs_does_not_hold_up_the_end(tmp_path: Path, source: str) -> None:
    begun = tmp_path / "begun"
    with first(tmp_path, source=source, command=f"touch {begun}; exec sleep 600") as sidecar:
        sidecar.start()
        until(begun.exists)
        assert sidecar.terminated() == 0


def test_once_ends_when_its_pod_does(tmp_path: Path, endless: str) -> None:
    with first(tmp_path, source=endless) as sidecar:
        sidecar.begin("once")
        until(lambda: list(sidecar.volume.rglob("incoming-*")), within=30)
        assert sidecar.terminated() == 143
