"""What is measured, each from outside: a process's files, its figures in /proc, and the server's audit log."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.peers import MOUNT, Job, names_of
from refresher.demo.openbao import OpenBao

GIVE_UP = 60.0
LOOK = 0.001
_TICKS = os.sysconf("SC_CLK_TCK")


class Start(NamedTuple):
    """Seconds from the spawn of the process."""

    first: float
    last: float


class Memory(NamedTuple):
    """MiB: resident, and with what is shared divided among those who share it."""

    rss: float
    pss: float


class Idle(NamedTuple):
    """What a minute without any change costs: CPU seconds of the process, requests that the server saw."""

    cpu: float
    requests: float


def start(job: Job) -> Start:
    """Run the job until its files are there."""
    began = time.monotonic()
    with job.running() as child:
        first = _until_there(job.files[:1], child) - began
        return Start(first, _until_there(job.files, child) - began)


def memory(pid: int) -> Memory:
    """What the process uses now."""
    return Memory(_kib(pid, "status", "VmRSS:") / 1024, _kib(pid, "smaps_rollup", "Pss:") / 1024)


def idle(pid: int, bao: OpenBao, *, seconds: float) -> Idle:
    """Watch the process for so long; the figures are for a minute."""
    cpu, requests = _cpu(pid), _requests(bao)
    time.sleep(seconds)
    factor = 60 / seconds
    return Idle((_cpu(pid) - cpu) * factor, (_requests(bao) - requests) * factor)


def on_request(job: Job, bao: OpenBao, *, count: int) -> list[float]:
    """Seconds from each POST /refresh/ASSET until the changed value is visible, of one asset after the other.

    The API answers once the files are visible, so this includes the way back. Only the POST is in the time.
    """
    connection = http.client.HTTPConnection(job.control, timeout=GIVE_UP)
    took = []
    assets = list(zip(names_of(len(job.files)), job.files, strict=True))
    for number in range(count):
        name, file = assets[number % len(assets)]
        value = f"changed {number}"
        bao.write(f"{MOUNT}/data/{name}", {"data": {"value": value}})
        began = time.monotonic()
        connection.request("POST", f"/refresh/{name}")
        answer = connection.getresponse()
        took.append(time.monotonic() - began)
        body = answer.read()
        if answer.status != 200 or file.read_text() != value:
            raise RuntimeError(f"{name} was not refreshed: {answer.status} {body!r}")
    connection.close()
    return took


def wait_for_files(job: Job, child: subprocess.Popen[bytes]) -> None:
    """Return once all files are there."""
    _until_there(job.files, child)


def wait_for_api(job: Job) -> None:
    """Return once the local API listens, which it does while the first files are fetched."""
    host, _, port = job.control.rpartition(":")
    deadline = time.monotonic() + GIVE_UP
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), GIVE_UP).close()
        except ConnectionRefusedError:
            time.sleep(LOOK)
        else:
            return
    raise RuntimeError(f"nobody listens on {job.control}")


def _until_there(files: Sequence[Path], child: subprocess.Popen[bytes]) -> float:
    """The moment at which all files are there."""
    missing = list(files)
    deadline = time.monotonic() + GIVE_UP
    while missing:
        if missing[-1].exists():
            missing.pop()
        elif child.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{child.args!r} did not make {missing[-1]}")
        else:
            time.sleep(LOOK)
    return time.monotonic()


def _kib(pid: int, file: str, label: str) -> int:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(label)).split()[1])


def _cpu(pid: int) -> float:
    # The fields after the command's name, which may hold spaces: proc(5), utime and stime are the 14th and 15th.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _requests(bao: OpenBao) -> int:
    return len(bao.requests(f"{MOUNT}/"))
