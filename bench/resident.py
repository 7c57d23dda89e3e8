"""A running sidecar, asked over its local API and watched from outside."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.racers import configured
from refresher.demo.process import end

GIVE_UP = 3600.0
LOOK = 0.005
TOO_MANY = 429
_TICKS = os.sysconf("SC_CLK_TCK")


class Resident:
    """`refresher run` with a configuration of its own. `ready_after`: seconds from its start to the last publish."""

    def __init__(self, directory: Path, control: str, child: subprocess.Popen[bytes]) -> None:
        self._control, self._log, self._child = control, directory / "log", child
        self._began, self.ready_after = time.monotonic(), 0.0

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, directory: Path, assets: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Iterator["Resident"]:
        """The process, once it has published every asset, until the context ends."""
        config, control = configured(directory, assets)
        argv = [sys.executable, "-m", "refresher", "run", "-c", str(config)]
        with (directory / "log").open("wb") as log:
            child = subprocess.Popen(argv, env=environment, cwd=directory, stdout=log, stderr=log)
        try:
            resident = cls(directory, control, child)
            resident._until_published(assets)
            yield resident
        finally:
            end(child)

    @property
    def published(self) -> dict[str, float]:
        """Seconds that each asset's last published refresh took, by the sidecar's own account."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return {line["asset"]: line["duration"] for line in lines if line.get("result") == "published"}

    @property
    def peak(self) -> float:
        """The most MiB that the process has had in memory so far."""
        lines = Path(f"/proc/{self._child.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024

    @property
    def cpu(self) -> float:
        """CPU seconds of the process so far."""
        # The fields after the command's name, which may hold spaces: proc(5), utime and stime are the 14th and 15th.
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def refresh(self, asset: str, *, result: str) -> float:
        """Seconds of a POST /refresh/ASSET. Asked again, untimed, while there were too many.

        RuntimeError if it doesn't end with this result.
        """
        while True:
            began = time.monotonic()
            status, wait, body = self._post(f"/refresh/{asset}?timeout=1h")
            took = time.monotonic() - began
            if status == TOO_MANY:
                time.sleep(wait)
            elif status != http.HTTPStatus.OK or json.loads(body)["result"] != result:
                raise RuntimeError(f"{asset} is not {result}: {status} {body!r}")
            else:
                return took

    def _post(self, path: str) -> tuple[int, float, bytes]:
        connection = http.client.HTTPConnection(self._control, timeout=GIVE_UP)
        with contextlib.closing(connection):
            connection.request("POST", path)
            answer = connection.getresponse()
            return answer.status, float(answer.headers.get("Retry-After", 0)), answer.read()

    def _until_published(self, assets: Iterable[str]) -> None:
        deadline = self._began + GIVE_UP
        while not self.published.keys() >= set(assets):
            if self._child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the sidecar doesn't publish:\n{self._log.read_text()[-2000:]}")
            time.sleep(LOOK)
        self.ready_after = time.monotonic() - self._began
