"""What becomes of a Vault login while the sidecar runs, and when it ends."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from refresher.demo.openbao import OpenBao
from tests.journeys.conftest import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.providers.vault_logins import METHODS, Logins
from tests.waiting import until


@pytest.fixture
def policy(bao: OpenBao) -> str:
    """The name of a mount with the secret `app`, and of the policy that may read it."""
    name = f"kv-{uuid4().hex[:8]}"
    bao.kv(name, 1)
    bao.write(f"{name}/app", {"user": "ann"})
    bao.policy(name, f'path "{name}/app" {{ capabilities = ["read"] }}')
    return name


def configured(bao: OpenBao, policy: str, **options: Any) -> dict[str, Any]:
    """One asset that is looked at every ten minutes, which is as good as never."""
    vault = {"address": bao.address, "path": f"{policy}/app", **options}
    return {"assets": {"app": {"source": {"vault": vault}, "refresh": {"every": "10m"}}}}


@pytest.fixture
def approle(bao: OpenBao, policy: str, tmp_path: Path) -> dict[str, Any]:
    role_id, secret_id = bao.approle(policy, [policy])
    files = {name: tmp_path / name for name in ("role_id", "secret_id")}
    files["role_id"].write_text(role_id)
    files["secret_id"].write_text(secret_id)
    return {"approle": {name: {"file": str(path)} for name, path in files.items()}}


def test_a_new_token_in_the_file_of_a_dead_one_heals_long_before_the_next_look(
    tmp_path: Path, bao: OpenBao, policy: str
) -> None:
    token, file = bao.new_token([policy]), tmp_path / "login" / "token"
    file.parent.mkdir()
    file.write_text(token)
    with running(tmp_path, configured(bao, policy, auth={"token": {"file": str(file)}})) as sidecar:
        user = sidecar.volume / "app" / "user"
        until(lambda: sidecar.state("app")["generation"])
        bao.write("auth/token/revoke", {"token": token})
        bao.write(f"{policy}/app", {"user": "bob"})
        assert sidecar.command("refresh", "app").returncode == 1
        assert user.read_text() == "ann"
        new = file.with_name("new")
        new.write_text(bao.new_token([policy]))
        new.rename(file)
        seen = {until(user.read_text)}
        until(lambda: seen.add(user.read_text()) or user.read_text() == "bob")
        assert seen <= {"ann", "bob"}
        until(lambda: sidecar.state("app")["consecutive_failures"] == 0)


def test_a_new_token_in_the_file_is_no_reason_for_a_new_certificate(tmp_path: Path, pki: Pki) -> None:
    with running(tmp_path, pki.configuration(web=pki.asset(ttl="1h"))) as sidecar:
        until(lambda: sidecar.state("web")["generation"])
        token = pki.token.with_name("new")
        token.write_text(pki.bao.token + "\n\n")
        token.rename(pki.token)
        until(lambda: sidecar.state("web")["result"] == "unchanged")
        assert pki.issued() == 1


def test_a_run_revokes_its_own_token_at_its_end(
    tmp_path: Path, bao: OpenBao, policy: str, approle: dict[str, Any]
) -> None:
    before = len(bao.requests("auth/token/revoke-self"))
    with running(tmp_path, configured(bao, policy, auth=approle, revoke_on_exit=True)) as sidecar:
        until(lambda: sidecar.state("app")["generation"])
        assert len(bao.requests("auth/token/revoke-self")) == before
        assert sidecar.stop() == 0
    assert len(bao.requests("auth/token/revoke-self")) == before + 1
    assert (sidecar.volume / "app" / "user").read_text() == "ann"


def test_once_revokes_its_own_token_at_its_end(
    tmp_path: Path, bao: OpenBao, policy: str, approle: dict[str, Any]
) -> None:
    configuration = configured(bao, policy, auth=approle)
    configuration["providers"] = {"vault": {"revoke_on_exit": True}}
    sidecar = Sidecar(tmp_path, configuration, {})
    before = len(bao.requests("auth/token/revoke-self"))
    assert sidecar.command("once").returncode == 0
    assert len(bao.requests("auth/token/revoke-self")) == before + 1


def test_check_refuses_to_revoke_a_token_that_was_given(tmp_path: Path, bao: OpenBao, policy: str) -> None:
    auth = {"token": {"env": "VAULT_TOKEN"}}
    sidecar = Sidecar(tmp_path, configured(bao, policy, auth=auth, revoke_on_exit=True), {})
    checked = sidecar.command("check")
    assert checked.returncode == 2
    assert "revoke_on_exit needs a login in auth" in checked.stderr


def test_a_token_revoked_under_the_sidecar_heals_by_itself_whatever_the_login(
    tmp_path: Path, bao: OpenBao, policy: str
) -> None:
    with ExitStack() as closing:
        logins = Logins(bao, tmp_path, policy, closing)
        source = {"address": bao.address, "path": f"{policy}/app"}
        by_method = {method: logins.by(method) for method in METHODS}
        assets = {
            method: {
                "source": {"vault": source | {"auth": login.auth} | login.reached},
                "refresh": {"every": "1s"},
            }
            for method, login in by_method.items()
        }
        configuration = yaml.safe_load(json.dumps({"assets": assets}, default=str))
        with running(tmp_path, configuration) as sidecar:
            users = [sidecar.volume / method / "user" for method in METHODS]
            until(lambda: all(user.exists() for user in users))
            for login in by_method.values():
                login.revoke()
            bao.write(f"{policy}/app", {"user": "bob"})
            seen: set[str] = set()
            until(lambda: seen.update(now := [user.read_text() for user in users]) or set(now) == {"bob"})
            assert seen <= {"ann", "bob"}
            assert [len(login.asked()) for login in by_method.values()] == [2] * len(METHODS)
            until(lambda: all(sidecar.state(method)["consecutive_failures"] == 0 for method in METHODS))
