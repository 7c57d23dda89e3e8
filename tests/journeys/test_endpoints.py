"""Thirty assets of one server that goes away, hangs or is sealed, and comes back."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from refresher.demo.openbao import OpenBao
from tests.fakes.fault_proxy import FaultProxy, Upstream, after, fault_proxy, sends, silence
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until

NAMES = [f"v{number}" for number in range(30)]
DEADLINE = 1
"""Seconds that the server is given to answer, and so those that one attempt takes while it hangs."""


@dataclass
class Ward:
    """A server, the proxy before it, and a sidecar with thirty values from there and a file from elsewhere."""

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

    def looked(self, asset: str) -> int:
        """How often the asset was found unchanged."""
        found = re.search(rf'refreshes_total{{asset="{asset}",result="unchanged"}} (\d+)', self.sidecar.metrics())
        return int(found[1]) if found else 0

    def is_fresh(self) -> bool:
        """Whether all have been looked at with success, and the server is asked by all."""
        states = self.states()
        return self.circuit() == "closed" and not [each for each in states.values() if each["result"] == "failed"]


@contextmanager
def ward(tmp_path: Path, **sections: Any) -> Iterator[Ward]:
    with OpenBao.started(tmp_path) as bao, fault_proxy(bao.address) as proxy:
        bao.kv("kv", 2)
        for name in NAMES:
            bao.write(f"kv/data/{name}", {"data": {"value": "0"}})
        (tmp_path / "token").write_text(bao.token)
        token = {"token": {"file": str(tmp_path / "token")}}
        vault = {"address": proxy.address, "auth": token, "timeout": f"{DEADLINE}s"}
        assets: dict[str, Any] = {name: {"source": {"vault": {"path": f"kv/{name}"}}} for name in NAMES}
        assets["own"] = {"source": {"file": {"path": str(tmp_path / "token")}}}
        often = {"refresh": {"every": "1s"}}
        configuration = {"providers": {"vault": vault}, "assets": assets, "defaults": often, **sections}
        with running(tmp_path, configuration) as sidecar:
            one = Ward(bao, proxy, sidecar)
            until(lambda: all(state["generation"] == 1 for state in one.states().values()), within=60)
            yield one


OUTAGES: dict[str, tuple[Callable[[Ward], None], Callable[[Ward], None]]] = {
    "gone": (lambda one: one.proxy.fail(sends(b"")), lambda one: one.proxy.heal()),
    "hung": (lambda one: one.proxy.fail(silence), lambda one: one.proxy.heal()),
    "sealed": (lambda one: one.bao.seal(), lambda one: one.bao.unseal()),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_dead_server_is_asked_by_one_of_thirty_at_a_time_and_all_are_fresh_soon_after_it_is_back(
    tmp_path: Path, outage: str
) -> None:
    begin, end = OUTAGES[outage]
    with ward(tmp_path) as one:
        begin(one)
        until(lambda: one.failures() >= 2, within=60)
        before, looks = len(one.proxy.seen), one.looked("own")
        until(lambda: one.failures() >= 5, within=120)
        probes = one.proxy.seen[before:]
        assert len(probes) == 3
        pauses = [later.at - sooner.at for sooner, later in pairwise(probes)]
        assert all(pause >= 0.75 * wait for pause, wait in zip(pauses, (4, 8), strict=True))
        assert one.looked("own") > looks + 3
        assert f'refresher_endpoint_circuit_open{{endpoint="{one.proxy.address}"}} 1.0' in one.sidecar.metrics()
        assert f"server away: {one.proxy.address}" in one.sidecar.command("status").stdout.replace("\n  ", " ")
        end(one)
        assert one.sidecar.ask("POST", "/refresh/v0").status == 200
        until(one.is_fresh, within=30)
        said = [line["message"] for line in one.sidecar.logged_lines() if "endpoint" in line]
        assert said == [
            f"{one.proxy.address} doesn't answer: until it does, one asset at a time asks it",
            f"{one.proxy.address} answers again",
        ]


@dataclass
class Busy:
    """Answers each request a moment late, and notes how many were asked side by side."""

    most: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, connection: socket.socket, upstream: Upstream) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        after(0.1)(connection, upstream)
        with self._lock:
            self._now -= 1


def test_no_more_assets_than_the_budget_ask_a_server_at_once(tmp_path: Path) -> None:
    with ward(tmp_path, endpoints={"concurrency": 3}) as one:
        busy = Busy()
        before = {name: one.looked(name) for name in NAMES}
        one.proxy.fail(busy)
        until(lambda: all(one.looked(name) > before[name] + 1 for name in NAMES), within=60)
        assert 2 <= busy.most <= 3
