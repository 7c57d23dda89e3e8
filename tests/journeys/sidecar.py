"""The real process, as a pod would run it, and what a person would ask it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import urllib3
import yaml

from refresher.demo.pod import FOREIGN
from refresher.demo.process import end, free_port
from tests.waiting import until
from tests.written import put

# On a connection of its own each time: one that is kept is closed after five seconds, perhaps while something is asked.
http = urllib3.PoolManager(retries=False, timeout=30, headers={"Connection": "close"})
_LAST_AND_NEXT = ("last_attempt_at", "next_refresh_at")


class Sidecar:
    """`python -m refresher run` on a configuration, in a directory of its own."""

    def __init__(self, directory: Path, configuration: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self.directory, self.environment = directory, environment
        self.port, self.probes_port = free_port(), free_port()
        self.volume = directory / "shared"
        self.volume.mkdir(exist_ok=True)
        self.log = directory / "sidecar.log"
        self.config = directory / "refresher.yaml"
        self.configuration: dict[str, Any] = {
            "volume": str(self.volume),
            "control": {"listen": f"127.0.0.1:{self.port}"},
            "probes": {"listen": f"127.0.0.1:{self.probes_port}"},
        }
        self.configure(**configuration)
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, **sections: Any) -> None:
        """Write the configuration with these sections; it counts from the next start on."""
        self.configuration |= sections
        # As an editor does: one that runs would read what is half written, too.
        put(self.config, yaml.safe_dump(self.configuration))

    def begin(self, command: str = "run") -> subprocess.Popen[bytes]:
        """Start the process, and don't wait for it to answer."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._argv(command), stderr=log, stdout=log, env=self.environment_of_process()
            )
        return self.process

    def start(self) -> None:
        """Start the process, and return once it answers."""
        self.begin()
        until(self.answers, within=60)

    def answers(self) -> bool:
        """Whether the probes listener answers. Fails the test if the process has ended."""
        assert self.process is not None
        assert self.process.poll() is None, self.logged()
        try:
            return http.request("GET", f"http://127.0.0.1:{self.probes_port}/livez").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def stop(self) -> int:
        """Ask it to end, and answer its exit code."""
        assert self.process is not None
        end(self.process)
        return self.process.returncode

    def kill(self) -> None:
        """End it without a warning."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command of refresher's on the same configuration."""
        return subprocess.run(
            self._argv(*words),
            capture_output=True,
            text=True,
            env=self.environment_of_process(),
            timeout=60,
            check=False,
        )

    def ask(self, method: str, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """A call of the local API."""
        return http.request(method, f"http://127.0.0.1:{self.port}{path}", headers={**http.headers, **headers})

    def state(self, asset: str) -> dict[str, Any]:
        """How the asset stands."""
        document: dict[str, Any] = self.ask("GET", f"/assets/{asset}").json()
        return document

    def planned(self, asset: str, generation: int) -> dict[str, Any]:
        """The same once that generation came or was found, and what comes next is planned: noted a moment later."""

        def known() -> dict[str, Any] | None:
            state = self.state(asset)
            moments = [state[name] and datetime.fromisoformat(state[name]) for name in _LAST_AND_NEXT]
            return state if state["generation"] == generation and all(moments) and moments[0] < moments[1] else None

        return until(known)

    def metrics(self) -> str:
        """The metrics as Prometheus would read them."""
        return http.request("GET", f"http://127.0.0.1:{self.probes_port}/metrics").data.decode()

    def logged(self) -> str:
        """Everything it wrote so far."""
        return self.log.read_text()

    def logged_lines(self) -> list[dict[str, Any]]:
        """The same as records, without a line of which only a part can be seen yet."""
        return [json.loads(line) for line in self.logged().rpartition("\n")[0].splitlines()]

    def _argv(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "refresher", *words, "-c", str(self.config)]

    def environment_of_process(self) -> dict[str, str]:
        """What the process gets to see, without what this machine happens to say about the servers."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return {**kept, **self.environment}


@contextmanager
def running(directory: Path, configuration: Mapping[str, Any], **environment: str) -> Iterator[Sidecar]:
    """A sidecar that runs until the context ends, however often the test restarts it."""
    with kept_running(Sidecar(directory, configuration, environment)) as sidecar:
        yield sidecar


@contextmanager
def kept_running(sidecar: Sidecar) -> Iterator[Sidecar]:
    """The same, of a sidecar that a test made itself."""
    sidecar.start()
    try:
        yield sidecar
    finally:
        if sidecar.process is not None and sidecar.process.poll() is None:
            sidecar.stop()
