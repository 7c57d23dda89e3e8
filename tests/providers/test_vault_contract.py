from pathlib import Path

import pytest

from refresher.contract import Provider
from refresher.demo.openbao import OpenBao
from refresher.demo.process import free_port
from refresher.testing import ProviderContract
from tests.providers.vault_sources import Source, unique


class _OnOpenBao(ProviderContract):
    """Hooks for a path of a mount that each test has for itself."""

    path: str
    missing: str
    data: dict[str, object] | None = None

    @pytest.fixture(autouse=True)
    def _mounted(self, bao: OpenBao, tmp_path: Path) -> None:
        self.bao, self.directory, self.mount = bao, tmp_path, unique("contract")
        self.given = 0
        self.prepare()

    def prepare(self) -> None:
        raise NotImplementedError

    def source(self, path: str, **options: object) -> Provider:
        return Source(self.bao, self.directory, path=f"{self.mount}/{path}", data=self.data, **options).provider

    def provider(self) -> Provider:
        return self.source(self.path)

    def missing_provider(self) -> Provider:
        return self.source(self.missing)

    def unreachable_provider(self) -> Provider:
        return self.source(self.path, address=f"http://127.0.0.1:{free_port()}")

    def silent_provider(self, host: str, port: int) -> Provider:
        return self.source(self.path, address=f"http://{host}:{port}", timeout="500ms")


class TestVersionedSecrets(_OnOpenBao):
    path, missing = "app", "absent"

    def prepare(self) -> None:
        self.bao.kv(self.mount, 2)
        self.change()

    def change(self) -> None:
        self.given += 1
        self.bao.write(f"{self.mount}/data/app", {"data": {"user": f"ann {self.given}", "limit": [1, 2, 3]}})


class TestPlainSecrets(_OnOpenBao):
    path, missing = "app", "absent"

    def prepare(self) -> None:
        self.bao.kv(self.mount, 1)
        self.change()

    def change(self) -> None:
        self.given += 1
        self.bao.write(f"{self.mount}/app", {"user": f"ann {self.given}", "limit": [1, 2, 3]})


class TestCertificates(_OnOpenBao):
    mints = True
    path, missing, data = "issue/web", "issue/absent", {"common_name": "web.example.com"}

    def prepare(self) -> None:
        self.bao.pki(self.mount, "web")
