"""A server with a proxy before it, and a sidecar with thirty values from there and a file from elsewhere."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refresher.demo.openbao import OpenBao
from tests.fakes.fault_proxy import FaultProxy, Upstream, after, fault_proxy
from tests.journeys.sidecar import Sidecar, running

NAMES = [f"v{number}" for number in range(30)]
DEADLINE = 30
"""Seconds that the server is given to answer: enough for any that isn't away."""


@dataclass
class Ward:
    """All of it, and what can be seen of it."""

    bao: OpenBao
    proxy: FaultProxy
    sidecar: Sidecar

    def states(self) -> dict[str, dict[str, Any]]:
        return {state["asset"]: state for state in self.sidecar.ask("GET", "/assets").json()["assets"]}

    def circuit(self) -> str:
        name: str = self.states()["v0"]["endpoint"]["circuit"]
        return name

    def failures(self) -> int:
        """How often the server was found away since it answered."""
        count: int = self.states()["v0"]["endpoint"]["failures"]
        return count

    def are_published(self) -> bool:
        """Whether all thirty are."""
        states = self.states()
        return all(states[name]["generation"] == 1 for name in NAMES)


@contextmanager
def ward(
    tmp_path: Path, *, ill: Callable[[OpenBao, FaultProxy], None], deadline: float = DEADLINE, **sections: Any
) -> Iterator[Ward]:
    """They come up while the server is `ill` already, so that all thirty are due; if it hangs, for `deadline` each."""
    with OpenBao.started(tmp_path) as bao, fault_proxy(bao.address) as proxy:
        bao.kv("kv", 2)
        for name in NAMES:
            bao.write(f"kv/data/{name}", {"data": {"value": "0"}})
        (tmp_path / "token").write_text(bao.token)
        token = {"token": {"file": str(tmp_path / "token")}}
        vault = {"address": proxy.address, "auth": token, "timeout": f"{deadline:g}s"}
        assets: dict[str, Any] = {name: {"source": {"vault": {"path": f"kv/{name}"}}} for name in NAMES}
        assets["own"] = {"source": {"file": {"path": str(tmp_path / "token")}}}
        ill(bao, proxy)
        with running(tmp_path, {"providers": {"vault": vault}, "assets": assets, **sections}) as sidecar:
            yield Ward(bao, proxy, sidecar)


@dataclass
class Busy:
    """Answers each request a moment late, and notes how many were asked side by side before they had an answer."""

    most: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, connection: socket.socket, upstream: Upstream) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)

        def answer() -> bytes:
            try:
                return upstream()
            finally:  # before it is sent: whoever has it may ask for the next at once
                with self._lock:
                    self._now -= 1

        after(0.1)(connection, answer)
