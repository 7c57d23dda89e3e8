"""What the tests of logins to Vault share: a secret, who may read it, and ways to log in."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from refresher.demo.openbao import OpenBao
from tests.providers.vault_logins import Logins
from tests.providers.vault_sources import Source, Sources, unique


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
    with ExitStack() as closing:
        yield Logins(bao, tmp_path, policy, closing)
