"""A sidecar between sources and apps that come and go: four assets, real servers, and the faults that befall them."""

import contextlib
import json
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from refresher.demo.caddy import Caddy
from refresher.demo.openbao import OpenBao, OpenBaoError
from refresher.demo.process import free_port, program
from refresher.demo.process import running as program_running
from refresher.demo.seaweed import SeaweedFS
from tests.fakes.app import App, Heard
from tests.fakes.fault_proxy import FaultProxy, Upstream, fault_proxy, half, refuses, replies
from tests.soak.valve import KiB, Valve, valve

ASSETS = ("certificate", "values", "page", "model")
NEAR, FAR = ASSETS[:2], ASSETS[2:]
"""Whose app is always there, whatever it answers, so that each telling can be counted; and whose is gone at times."""
TTL = 30
"""Seconds that a certificate lives."""
SIZE = 300 * KiB
AUDITED = {"certificate": "pki/issue/web", "values": "kv/data/values"}
"""Paths of the assets whose source notes each answer that it gives."""


def drip(connection: socket.socket, upstream: Upstream) -> None:
    """The server's answer, in twenty pieces over a second."""
    answer = upstream()
    size = max(1, len(answer) // 20)
    for begin in range(0, len(answer), size):
        connection.sendall(answer[begin : begin + size])
        time.sleep(0.05)


@dataclass
class Container:
    """The app of some assets: what it answers now (None: it hangs up), what it answered so far, and what it holds."""

    status: int | None = 200
    answered: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    holds: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Of this process alone: while it is gone, nobody else is given it.
        self._app, self._running = App(self._answer, port=free_port()), contextlib.ExitStack()
        self.come()

    @property
    def url(self) -> str:
        return self._app.url

    def come(self) -> None:
        """Listen, always at the same address."""
        self._running.enter_context(self._app.running())

    def go(self) -> None:
        """Refuse connections."""
        self._running.close()

    def _answer(self, heard: Heard) -> tuple[int, dict[str, str], bytes]:
        change, status = json.loads(heard.body), self.status
        self.answered[change["asset"], status] += 1
        if status is None:
            raise ConnectionAbortedError
        if status == 200:
            self.holds[change["asset"]] = change["generation"]
        return status, {}, b""


class Web:
    """A Caddy that can be killed and started again, at the same address."""

    def __init__(self, directory: Path) -> None:
        with Caddy.started(directory) as self.caddy:
            """It writes its configuration, with which it can be started again."""
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        argv = [program("caddy"), "run", "--config", str(self._directory / "Caddyfile"), "--adapter", "caddyfile"]
        log = self._directory / "caddy.log"
        self._child = self._stack.enter_context(program_running(argv, log=log, answers=self._answers))

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()
        self._stack.close()

    def close(self) -> None:
        self._stack.close()

    def _answers(self) -> bool:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            return urllib3.request("HEAD", self.caddy.url, retries=False, timeout=2).status < 500
        return False


@dataclass
class Scene:
    """The sources, what stands before them, and the apps. `cut` counts answers that a source gave and nobody got."""

    bao: OpenBao
    web: Web
    seaweed: SeaweedFS
    vault: FaultProxy
    pages: FaultProxy
    store: FaultProxy
    line: Valve
    near: Container
    far: Container
    bucket: str
    cut: Counter[str] = field(default_factory=Counter)
    changes: int = 0

    def container(self, asset: str) -> Container:
        return self.near if asset in NEAR else self.far

    def change(self) -> None:
        """New content at every source that can take it now."""
        self.changes += 1
        with contextlib.suppress(OpenBaoError):
            self.bao.write("kv/data/values", {"data": {"number": str(self.changes)}})
        new = self.web.caddy.root / "new"
        new.write_bytes(random.randbytes(SIZE))
        new.rename(self.web.caddy.root / "page")
        with contextlib.closing(self.seaweed.client()) as client:
            client.put_object(Bucket=self.bucket, Key="model", Body=random.randbytes(SIZE))

    def everywhere(self, act: Callable[[FaultProxy], None]) -> None:
        """To all that stand before sources."""
        for proxy in (self.vault, self.pages, self.store):
            act(proxy)

    def heal(self) -> None:
        self.everywhere(FaultProxy.heal)

    def answer(self, status: int | None) -> None:
        """What the apps answer from now on."""
        self.near.status = self.far.status = status

    def cut_answers(self) -> None:
        """Half of every answer comes."""
        self.everywhere(lambda proxy: proxy.fail(half))
        for asset, path in AUDITED.items():
            self.vault.fail(self._counted(asset), where=f"/v1/{path}$")

    def cut_connections(self) -> None:
        """After each 100 KiB more."""
        self.line.cut_at([self.line.moved + number * 100 * KiB for number in range(1, 6)])

    def _counted(self, asset: str) -> Callable[[socket.socket, Upstream], None]:
        def fault(connection: socket.socket, upstream: Upstream) -> None:
            answer = upstream()
            self.cut[asset] += answer.startswith(b"HTTP/1.1 200 ")
            half(connection, lambda: answer)

        return fault

    def configuration(self, directory: Path) -> dict[str, Any]:
        """All assets; what isn't made anew is looked at every two seconds."""
        login = {name: {"file": str(directory / name)} for name in ("role_id", "secret_id")}
        vault = {"address": self.vault.address, "timeout": "10s", "auth": {"approle": login}}
        issue = {"path": AUDITED["certificate"], "data": {"common_name": "web", "ttl": f"{TTL}s"}}
        s3 = {"bucket": self.bucket, "key": "model", "endpoint_url": self.store.address, "region": "us-east-1"}
        sources = {
            "certificate": {"vault": issue},
            "values": {"vault": {"path": AUDITED["values"]}},
            "page": {"http": {"url": f"{self.line.url}/page"}},
            "model": {"s3": s3},
        }
        assets = {name: self._asset(name, source) for name, source in sources.items()}
        return {"providers": {"vault": vault}, "defaults": {"refresh": {"every": "2s"}}, "assets": assets}

    def _asset(self, name: str, source: dict[str, Any]) -> dict[str, Any]:
        return {"source": source, "notify": [{"http": {"url": f"{self.container(name).url}/{name}"}}]}


@contextlib.contextmanager
def scene(directory: Path) -> Iterator[Scene]:
    """Everything but the sidecar."""
    with contextlib.ExitStack() as stack:
        homes = {name: directory / name for name in ("bao", "web", "seaweed")}
        for home in homes.values():
            home.mkdir()
        bao = stack.enter_context(OpenBao.started(homes["bao"]))
        web = stack.enter_context(contextlib.closing(Web(homes["web"])))
        seaweed = stack.enter_context(SeaweedFS.started(homes["seaweed"]))
        vault, pages, store = (
            stack.enter_context(fault_proxy(url)) for url in (bao.address, web.caddy.url, seaweed.endpoint_url)
        )
        line = stack.enter_context(valve(pages.address, connection_rate=1024 * KiB))
        near, far = Container(), Container()
        for container in (near, far):
            stack.callback(container.go)
        yield _furnished(
            Scene(bao, web, seaweed, vault, pages, store, line, near, far, seaweed.bucket("soak")), directory
        )


def _furnished(one: Scene, directory: Path) -> Scene:
    """Content everywhere, and a login that has to be renewed and made anew while the vault flaps."""
    one.bao.pki("pki", "web", not_before_duration="0s")
    one.bao.kv("kv", 2)
    paths = "\n".join(f'path "{path}/*" {{ capabilities = ["read", "update"] }}' for path in ("pki", "kv"))
    one.bao.policy("all", paths)
    role = one.bao.approle("soak", ["all"], token_ttl="60s", token_max_ttl="90s")
    for name, value in zip(("role_id", "secret_id"), role, strict=True):
        (directory / name).write_text(value)
    one.change()
    return one


@dataclass(frozen=True)
class Fault:
    name: str
    begin: Callable[[Scene], object]
    end: Callable[[Scene], object]


FAULTS = (
    Fault("the vault answers 500", lambda on: on.vault.fail(refuses(500, "internal error")), Scene.heal),
    Fault("the apps answer 500", lambda on: on.answer(500), lambda on: on.answer(200)),
    Fault("the vault is sealed", lambda on: on.bao.seal(), lambda on: on.bao.unseal()),
    Fault("the web server is killed", lambda on: on.web.kill(), lambda on: on.web.start()),
    Fault("the far app is gone", lambda on: on.far.go(), lambda on: on.far.come()),
    Fault("the store answers 500", lambda on: on.store.fail(replies(500)), Scene.heal),
    Fault("all answers are cut in half", Scene.cut_answers, Scene.heal),
    Fault("the apps refuse with 409", lambda on: on.answer(409), lambda on: on.answer(200)),
    Fault("all sources are away", lambda on: on.everywhere(FaultProxy.away), lambda on: on.everywhere(FaultProxy.back)),
    Fault("all sources drip", lambda on: on.everywhere(lambda proxy: proxy.fail(drip)), Scene.heal),
    Fault("the apps hang up", lambda on: on.answer(None), lambda on: on.answer(200)),
    Fault("connections are cut", Scene.cut_connections, Scene.heal),
)
