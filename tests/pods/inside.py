"""What only somebody on the node sees of a running pod: its loopback, and the kernel's view of its containers."""

import http.client
import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.waiting import until

API, PROBES = 8470, 8471


def ask(pod: Any, method: str, path: str, *, port: int = API) -> tuple[int, Any]:
    """Status and JSON document of what is answered on the pod's loopback."""

    def answered() -> tuple[int, Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=90)) as connection:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, json.loads(response.read() or "null")

    status, document = pod.in_netns(answered)
    return status, document


def listens(pod: Any) -> bool:
    """Whether refresher's probes are answered."""
    with suppress(ConnectionRefusedError):
        pod.connect(PROBES).close()
        return True
    return False


def generation(pod: Any, asset: str) -> int:
    """Of an asset, the visible one; 0 while nobody answers."""
    try:
        return int(ask(pod, "GET", f"/assets/{asset}")[1]["generation"])
    except ConnectionRefusedError:
        return 0


def process_status(pod: Any, container: str) -> dict[str, str]:
    """The lines of /proc/PID/status of a container's first process."""
    lines = Path(f"/proc/{pod.containers[container].pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def root_is_read_only(pod: Any, container: str) -> bool:
    """Whether the container's root is mounted read-only."""
    mounts = Path(f"/proc/{pod.containers[container].pid}/mountinfo").read_text().splitlines()
    (options,) = [fields[5] for fields in map(str.split, mounts) if fields[4] == "/"]
    return "ro" in options.split(",")


def seconds_to_end(pod: Any, container: str, sent: signal.Signals) -> float:
    """Send the container's first process a signal; how long it takes to be gone."""
    pid = pod.containers[container].pid
    ended = os.pidfd_open(pid)
    try:
        started = time.monotonic()
        os.kill(pid, sent)
        assert select.select([ended], [], [], 30)[0], f"{container} did not end"
        return time.monotonic() - started
    finally:
        os.close(ended)


@contextmanager
def killed(pod: Any, name: str) -> Iterator[None]:
    """Inside of the context the container is dead; left once its kubelet has started it again."""
    container = pod.containers[name]
    # As long as this is held, nobody starts it again.
    with container.lock:
        os.kill(container.pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{container.pid}").exists())
        restarts = container.restarts
        yield
    until(lambda: container.restarts > restarts and container.state == "running", within=60)
