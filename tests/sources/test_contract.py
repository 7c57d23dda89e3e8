"""The conformance kit on two real sources as one: a secret in OpenBao and a file of a web server."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from providers.file import FileOptions, FileProvider
from providers.http import HttpOptions, HttpProvider
from refresher.contract import Provider
from refresher.demo.caddy import Caddy
from refresher.demo.process import free_port
from refresher.sources import Sources
from refresher.testing import ProviderContract


class TestAFileAndAWebServer(ProviderContract):
    several_servers = True

    @pytest.fixture(autouse=True)
    def _served(self, caddy: Caddy, tmp_path: Path) -> None:
        self.caddy, self.name, self.path = caddy, f"{uuid4().hex}.txt", tmp_path / "local.conf"
        (caddy.root / self.name).write_text("served " * 500)
        self.path.write_text("local")

    def together(self, url: str, path: Path | None = None, *, within: float = 60) -> Provider:
        served = HttpProvider(HttpOptions(url=url))
        # Far in the future, so that the file is old enough for its facts to name it.
        local = FileProvider(FileOptions(path=path or self.path), clock=lambda: 10**19)
        return Sources({"served": served, "local": local}, timeout=timedelta(seconds=within))

    def provider(self) -> Provider:
        return self.together(f"{self.caddy.url}/{self.name}")

    def change(self) -> None:
        (self.caddy.root / self.name).write_text("changed " * 500)

    def missing_provider(self) -> Provider:
        return self.together(f"{self.caddy.url}/{self.name}", self.path.with_name("missing"))

    def unreachable_provider(self) -> Provider:
        return self.together(f"http://127.0.0.1:{free_port()}/x.txt")

    def silent_provider(self, host: str, port: int) -> Provider:
        return self.together(f"http://{host}:{port}/x.txt", within=0.5)
