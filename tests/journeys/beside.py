"""examples/vault-agent, before and after, side by side on one OpenBao."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from refresher.demo.openbao import OpenBao
from tests.fakes.app import App
from tests.journeys import agent
from tests.journeys.agent import EXAMPLE, Agent
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until

FILES = 20
SECRETS = ("api", "db", "flags", "smtp", "tls")


def block(label: str, text: str) -> str:
    pem = f"-----BEGIN {label}-----\n{text}\n-----END {label}-----\n"
    return base64.b64encode(pem.encode()).decode()


def secrets(turn: str = "one") -> dict[str, dict[str, Any]]:
    """The five secrets: `turn` shows in every file, beside what quoting and types make difficult."""
    return {
        "db": {"host": f"{turn}.internal", "port": "5432", "username": "shop", "password": f"{turn}'w\"<&>é"},
        "api": {
            "token": f" {turn}-token\n",
            "tenant": f"acme {turn}",
            "hosts": f"{turn}.internal, b.internal,c.internal",
            "operators": {"zoe": f"$6${turn}", "ann": "$6$y"},
        },
        "flags": {"dark": True, "limit": 25, "maintenance": turn != "one", "regions": [turn, "us"], "share": 0.5},
        "smtp": {"host": f"{turn}.internal", "user": "night", "password": f'{turn} q"uoted<'},
        "tls": {"certificate": block("CERTIFICATE", turn), "key": block("PRIVATE KEY", turn)},
    }


@contextmanager
def secret_server(directory: Path) -> Iterator[OpenBao]:
    """A server of its own, because the example's templates say `secret/`, and a policy for who reads there."""
    with OpenBao.started(directory) as bao:
        bao.kv("secret", 2)
        bao.policy("reader", 'path "secret/data/*" { capabilities = ["read"] }')
        yield bao


def put(server: OpenBao, changed: dict[str, dict[str, Any]]) -> None:
    for name, fields in changed.items():
        server.write(f"secret/data/{name}", {"data": fields})


@dataclass
class Pair:
    """Both of them, each with a token of its own."""

    server: OpenBao
    agent: Agent
    sidecar: Sidecar
    named: str

    def files(self) -> dict[str, bytes]:
        """Refresher's files, all of one generation."""
        return {path.name: path.read_bytes() for path in self._visible.iterdir()}

    @property
    def generation(self) -> int:
        """The number of the one that is visible: what the sidecar says of itself may come a moment later."""
        return int(self._visible.parent.name)

    @property
    def _visible(self) -> Path:
        return (self.sidecar.volume / "rendered/..data").resolve()

    def asked(self, who: str) -> list[str]:
        return self.server.requests(by=f"{who}-{self.named}")

    def agree(self) -> bool:
        return self.agent.files() == self.files()

    def state(self) -> dict[str, Any]:
        return self.sidecar.state("shop")


@contextmanager
def side_by_side(directory: Path, server: OpenBao, app: App, *, agent_looks: str, every: str) -> Iterator[Pair]:
    named = uuid4().hex[:8]
    tokens = {who: server.new_token(["reader"], display_name=f"{who}-{named}") for who in ("agent", "ours")}
    put(server, secrets())
    shutil.copytree(EXAMPLE / "after/templates", directory / "templates")
    with (
        agent.running(
            directory / "agent", agent.example(server.address, agent_looks), tokens["agent"], FILES
        ) as theirs,
        running(directory, after(server, app, every), TEST_TOKEN=tokens["ours"]) as sidecar,
    ):
        until(lambda: sidecar.state("shop")["generation"] == 1)
        yield Pair(server, theirs, sidecar, named)


def after(server: OpenBao, app: App, every: str) -> dict[str, Any]:
    """The example's configuration, on this server, looking that often, and telling our app."""
    written = yaml.safe_load((EXAMPLE / "after/refresher.yaml").read_text())
    written["providers"]["vault"] = {"address": server.address, "auth": {"token": {"env": "TEST_TOKEN"}}}
    written["assets"]["shop"] |= {"refresh": {"every": every}, "notify": [{"http": {"url": f"{app.url}/reload"}}]}
    return {key: written[key] for key in ("providers", "assets")}
