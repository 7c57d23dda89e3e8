"""What the tests share: for logins to Vault a secret, who may read it, and ways to log in; for S3 a bucket."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from providers.s3.clients import Clients
from refresher.demo.openbao import OpenBao
from refresher.demo.seaweed import SeaweedFS
from tests.fakes.fault_proxy import FaultProxy, fault_proxy
from tests.fakes.web import WebServer, web_server
from tests.providers.buckets import Store
from tests.providers.vault_logins import Logins
from tests.providers.vault_sources import Source, Sources, unique

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture(scope="module")
def policy(bao: OpenBao) -> str:
    """The name of a mount with the secret `app`, and of the policy that may read it."""
    name = unique("kv")
    bao.kv(name, 1)
    bao.write(f"{name}/app", {"user": "ann"})
    bao.write(f"{name}/other", {"user": "bob"})
    bao.policy(name, f'path "{name}/app" {{ capabilities = ["read"] }}')
    return name


@pytest.fixture
def source(bao: OpenBao, tmp_path: Path, policy: str) -> Sources:
    return lambda **options: Source(bao, tmp_path, **({"path": f"{policy}/app"} | options))


@pytest.fixture
def file(tmp_path: Path) -> Any:
    """Writes a value into a new file: the reference to it."""

    def written(value: str) -> dict[str, Path]:
        path = tmp_path / unique("secret")
        path.write_text(value + "\n")
        return {"file": path}

    return written


@pytest.fixture
def approle(bao: OpenBao, policy: str, file: Any) -> Any:
    """The options of an AppRole login by a new role; `settings` as in its API."""

    def made(**settings: Any) -> dict[str, Any]:
        role_id, secret_id = bao.approle(unique("role"), [policy], **settings)
        return {"approle": {"role_id": file(role_id), "secret_id": file(secret_id)}}

    return made


@pytest.fixture
def logins(bao: OpenBao, tmp_path: Path, policy: str) -> Iterator[Logins]:
    with ExitStack() as stack:
        yield Logins(bao, tmp_path, policy, stack)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@pytest.fixture
def clients() -> Iterator[Clients]:
    """Nobody has logged in with these yet."""
    with closing(Clients()) as made:
        yield made


@pytest.fixture(scope="module")
def module_clients() -> Iterator[Clients]:
    with closing(Clients()) as made:
        yield made


@pytest.fixture(scope="module")
def admin(seaweed: SeaweedFS) -> Iterator["S3Client"]:
    with closing(seaweed.client()) as client:
        yield client


@pytest.fixture
def store(seaweed: SeaweedFS, admin: "S3Client", module_clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seaweed.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seaweed.secret_key)
    return Store(seaweed, admin, module_clients)


@pytest.fixture
def between(seaweed: SeaweedFS) -> Iterator[FaultProxy]:
    """A proxy before the real store, which counts what it is asked, and goes wrong when it is told to."""
    with fault_proxy(seaweed.endpoint_url) as proxy:
        yield proxy
