"""The two containers of the demo's pod, each its own process: the sidecar and the TLS app."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import urllib3

from refresher.demo.process import running
from refresher.demo.sources import Sources

NAME = "web.example.com"
LIFETIME = timedelta(seconds=20)
"""Of a certificate: its renewal is due after 10 to 13 s of it."""
CONFIG = """\
volume: {volume}
control: {{listen: "127.0.0.1:{api}"}}
probes: {{listen: "off"}}
assets:
  web-tls:
    source:
      vault:
        address: {bao}
        auth: {{approle: {{role_id: {{file: {role_id}}}, secret_id: {{file: {secret_id}}}}}}}
        path: pki/issue/web
        data: {{common_name: {name}, ttl: {lifetime}s}}
    verify:
      - certificate: {{names: [{name}], trust: {{file: {roots}}}}}
    publish: {{directory: tls}}
    notify:
      - http: {{url: "{app}/-/reload", confirm: {{tls: "127.0.0.1:{https}", name: {name}}}}}
  model:
    source: {{s3: {{bucket: models, prefix: fraud/current/, endpoint_url: {s3}, region: us-east-1}}}}
    verify: [{{checksums: {{file: SHA256SUMS}}}}]
    refresh: {{every: 5s}}
  flags:
    source: {{http: {{url: {flags}}}}}
    verify: [{{document: {{format: json}}}}]
    notify: [{{http: {{url: "{app}/-/reload"}}}}]
    refresh: {{every: 2s}}
"""
LOG_LINES = 5
"""Of the sidecar's log, shown when something goes wrong."""
FOREIGN = ("AWS_", "BAO_", "REFRESHER_", "VAULT_")
"""Beginnings of environment variables that would lead the sidecar somewhere else than to the demo's servers."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Free ports on loopback: the sidecar's API, and the app's public and local ones."""

    api: int
    https: int
    local: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a manual refresh was asked with, and its outcome as the API writes it."""

    command: str
    outcome: Mapping[str, Any]


class Pod:
    """Where the containers are, and what they say."""

    def __init__(self, directory: Path, sources: Sources, ports: Ports) -> None:
        self.volume = directory / "shared"
        self.config = directory / "refresher.yaml"
        self.log = directory / "sidecar.log"
        self.api = f"http://127.0.0.1:{ports.api}"
        self.app = f"http://127.0.0.1:{ports.local}"
        self.ports = ports
        self._sources = sources
        self._environment = _own_environment() | sources.environment

    @contextlib.contextmanager
    def sidecar(self) -> Iterator[None]:
        """The sidecar, entered once all assets are published. RuntimeError if they aren't in time."""
        self.volume.mkdir()
        self.config.write_text(self._configuration())
        argv = [sys.executable, "-m", "refresher", "run", "-c", self.config.name]
        with running(argv, log=self.log, answers=self._ready, env=self._environment):
            try:
                yield
            except (OSError, RuntimeError) as error:
                lines = self.log.read_text().splitlines()[-LOG_LINES:]
                error.add_note("\n".join(["the end of the sidecar's log:", *lines]))
                raise

    @contextlib.contextmanager
    def main_container(self) -> Iterator[None]:
        """The TLS app, entered once it answers. RuntimeError if it doesn't in time."""
        listen = ["--https", f"127.0.0.1:{self.ports.https}", "--local", f"127.0.0.1:{self.ports.local}"]
        argv = [sys.executable, "-m", "refresher.demo.tls_app", "--directory", str(self.volume / "tls"), *listen]
        log = self.log.with_name("app.log")
        with running(argv, log=log, answers=lambda: bool(_get(f"{self.app}/-/told")), env=self._environment):
            yield

    def asset(self, name: str) -> dict[str, Any]:
        """How an asset stands, says the API."""
        status, state = _get(f"{self.api}/assets/{name}")
        if status != 200:
            raise RuntimeError(f"the API answers {status} for {name}")
        return state

    def told(self, asset: str) -> list[int]:
        """The generations of the asset that the app was told of."""
        return list(_get(f"{self.app}/-/told")[1].get(asset, []))

    def began(self, revision: str) -> datetime | None:
        """When the refresh began that published the revision, says the sidecar's log; None if it isn't there yet."""
        for line in self.log.read_text().splitlines():
            entry = _json(line)
            if entry.get("result") == "published" and entry.get("revision") == revision:
                return datetime.fromisoformat(entry["time"]) - timedelta(seconds=entry["duration"])
        return None

    def refresh_by_hand(self) -> Answer:
        """As a person would: with curl, or where there is none with refresher's own command."""
        argv, shown = self._command()
        done = subprocess.run(
            argv, cwd=self.config.parent, env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        answer = _json(done.stdout)
        if "result" not in answer:
            raise RuntimeError(f"{shown} gave no outcome: {(done.stderr or done.stdout).strip()[:500]}")
        return Answer(command=shown, outcome=answer)

    def _command(self) -> tuple[Sequence[str], str]:
        curl = shutil.which("curl")
        if curl:
            words = ["-sS", "-X", "POST", f"{self.api}/refresh/web-tls"]
            return [curl, *words], " ".join(["curl", *words])
        words = ["refresh", "web-tls", "-c", self.config.name, "--json"]
        return [sys.executable, "-m", "refresher", *words], " ".join(["refresher", *words, "  (there is no curl here)"])

    def _ready(self) -> bool:
        return _get(f"{self.api}/readyz")[0] == 200

    def _configuration(self) -> str:
        return CONFIG.format(
            volume=json.dumps(str(self.volume)),
            api=self.ports.api,
            bao=self._sources.bao.address,
            role_id=json.dumps(str(self._sources.role_id)),
            secret_id=json.dumps(str(self._sources.secret_id)),
            name=NAME,
            lifetime=int(LIFETIME.total_seconds()),
            roots=json.dumps(str(self._sources.roots)),
            app=self.app,
            https=self.ports.https,
            s3=self._sources.seaweed.endpoint_url,
            flags=f"{self._sources.caddy.url}/flags.json",
        )


def _own_environment() -> dict[str, str]:
    """Ours, without what is meant for other servers; a proxy can't reach this machine's loopback."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOREIGN) and not name.lower().endswith("_proxy")
    }


def _get(url: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON; ConnectionError if nobody answers."""
    try:
        with urllib3.PoolManager(retries=False, timeout=5) as pool:
            response = pool.request("GET", url)
            return response.status, _json(response.data.decode())
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionError(f"{url} does not answer") from error


def _json(text: str) -> dict[str, Any]:
    """A JSON object, or the first one in a list; {} if it is neither."""
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    first = document[0] if isinstance(document, list) and document else document
    return first if isinstance(first, dict) else {}
