import base64
import json
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from providers.vault.session import Sessions
from refresher.contract import Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError, TransientError
from tests.fakes.serving import Asked, Reply, serving
from tests.fakes.token_review import service_account_token
from tests.providers.vault_logins import METHODS, Logins
from tests.providers.vault_sources import Clock, Source, Sources, contents, held, unique


def asked(bao: OpenBao, mount: str = "approle") -> int:
    return len(bao.requests(f"auth/{mount}/login"))


def assert_ann(app: Source) -> None:
    assert contents(app.fetched()) == {"user": b"ann"}


def test_approle_without_a_secret_id(bao: OpenBao, source: Sources, policy: str, file: Any) -> None:
    networks = ["127.0.0.1/32"]
    name = unique("role")
    role_id, _ = bao.approle(name, [policy], token_bound_cidrs=networks)
    bao.write(f"auth/approle/role/{name}", {"bind_secret_id": False})
    assert_ann(source(auth={"approle": {"role_id": file(role_id)}}))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_logs_in(logins: Logins, method: str) -> None:
    login = logins.by(method)
    assert_ann(login.source())
    assert len(login.asked()) == 1


def test_kubernetes_reads_the_rotated_token_at_each_login(logins: Logins) -> None:
    login, clock = logins.kubernetes(), Clock(datetime.now(UTC))
    app = login.source(shared=Sessions(clock))
    file = login.auth["kubernetes"]["token_file"]
    account = logins.accounts.pop(file.read_text())
    with pytest.raises(PermanentError, match=f"auth/{login.mount}/login"):
        app.look()
    clock.now += timedelta(seconds=1)
    logins.accounts[file.read_text()] = account
    assert_ann(app)
    login.revoke()
    logins.accounts.clear()
    file.write_text(service_account_token("shop", "web", serial=2))
    logins.accounts[file.read_text()] = account
    assert_ann(app)


def test_a_certificate_login_may_name_its_role(logins: Logins) -> None:
    login = logins.cert()
    login.auth["cert"]["name"] = "web"
    assert_ann(login.source())


def test_aws_sends_a_signed_request_for_its_identity(
    source: Sources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim-genug")
    asked: list[Asked] = []

    def answer(each: Asked) -> Reply:
        asked.append(each)
        if each.path.startswith("/v1/auth/"):
            return Reply(200, json.dumps({"auth": {"client_token": "t", "lease_duration": 60}}).encode())
        return Reply(200, json.dumps({"data": {"user": "ann"}}).encode())

    with serving(answer) as address:
        assert_ann(source(address=address, auth={"aws": {"role": "web", "server_id": "vault.test"}}))
    sent = json.loads(asked[0].body)
    headers = json.loads(base64.b64decode(sent["iam_request_headers"]))
    assert asked[0].path == "/v1/auth/aws/login"
    assert base64.b64decode(sent["iam_request_url"]).startswith(b"https://sts.")
    assert "Credential=AKIDEXAMPLE/" in headers["Authorization"][0]
    assert headers["X-Vault-AWS-IAM-Server-ID"] == ["vault.test"]
    assert b"geheim" not in asked[0].body


def test_aws_without_credentials_is_permanent(source: Sources, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(PermanentError, match="no AWS credentials"):
        source(auth={"aws": {"role": "web"}}).look()
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(TransientError, match="ProfileNotFound"):
        source(auth={"aws": {"role": "web"}}).look()


def test_the_token_of_the_environment_is_the_default(
    bao: OpenBao, source: Sources, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", bao.new_token([policy]))
    monkeypatch.setenv("VAULT_ADDR", bao.address)
    assert_ann(source(auth=None, address=None))


def test_a_token_that_may_not_look_itself_up_is_used(bao: OpenBao, source: Sources, policy: str, file: Any) -> None:
    token = bao.new_token([policy], no_default_policy=True)
    assert_ann(source(auth={"token": file(token)}))


def test_ten_sources_log_in_once(bao: OpenBao, source: Sources, approle: Any) -> None:
    auth, shared = approle(), Sessions(lambda: datetime.now(UTC))
    sources = [source(auth=auth, shared=shared) for _ in range(10)]
    before = asked(bao)
    with ThreadPoolExecutor(10) as pool:
        assert [contents(each) for each in pool.map(Source.fetched, sources)] == [{"user": b"ann"}] * 10
    assert asked(bao) - before == 1
    shared.close()


def test_a_login_is_renewed_at_two_thirds_of_its_life(bao: OpenBao, source: Sources, approle: Any) -> None:
    clock = Clock(datetime.now(UTC))
    app = source(auth=approle(token_ttl="300s"), shared=Sessions(clock))
    assert_ann(app)
    before, renewals = asked(bao), len(bao.requests("auth/token/renew-self"))
    clock.now += timedelta(seconds=190)
    assert_ann(app)
    assert len(bao.requests("auth/token/renew-self")) == renewals
    clock.now += timedelta(seconds=20)
    assert_ann(app)
    assert len(bao.requests("auth/token/renew-self")) == renewals + 1
    assert asked(bao) == before


def test_a_login_that_can_not_be_renewed_is_made_anew(bao: OpenBao, source: Sources, approle: Any) -> None:
    clock = Clock(datetime.now(UTC))
    app = source(auth=approle(token_type="batch", token_ttl="300s"), shared=Sessions(clock))
    assert_ann(app)
    before = asked(bao)
    clock.now += timedelta(seconds=210)
    assert_ann(app)
    assert asked(bao) == before + 1


def test_a_login_whose_renewal_grants_little_is_made_anew(
    bao: OpenBao, source: Sources, policy: str, file: Any
) -> None:
    clock, role = Clock(datetime.now(UTC)), unique("role")
    role_id, secret_id = bao.approle(role, [policy], token_ttl="300s")
    auth = {"approle": {"role_id": file(role_id), "secret_id": file(secret_id)}}
    app = source(auth=auth, shared=Sessions(clock))
    assert_ann(app)
    before = asked(bao)
    bao.write(f"auth/approle/role/{role}", {"token_ttl": "60s"})
    clock.now += timedelta(seconds=210)
    assert_ann(app)
    assert asked(bao) == before + 1


def test_a_login_that_can_be_neither_renewed_nor_made_anew_is_used_to_its_end(
    bao: OpenBao, source: Sources, approle: Any
) -> None:
    clock = Clock(datetime.now(UTC))
    settings = {"token_type": "batch", "token_ttl": "300s", "secret_id_num_uses": 1}
    app = source(auth=approle(**settings), shared=Sessions(clock))
    assert_ann(app)
    clock.now += timedelta(seconds=210)
    before = asked(bao)
    assert_ann(app)
    assert_ann(app)
    assert asked(bao) == before + 1
    clock.now += timedelta(seconds=40)
    assert_ann(app)
    assert asked(bao) == before + 2
    clock.now += timedelta(seconds=60)
    with pytest.raises(PermanentError, match="auth/approle/login"):
        app.look()


def test_a_token_revoked_under_it_is_replaced(bao: OpenBao, source: Sources, approle: Any) -> None:
    app = source(auth=approle())
    first = app.fetched()
    bao.write("sys/leases/revoke-prefix/auth/approle/login")
    assert isinstance(app.look(held(first)), Unchanged)


def test_a_missing_right_is_not_taken_for_a_dead_token(
    bao: OpenBao, source: Sources, approle: Any, policy: str
) -> None:
    app = source(auth=approle(), path=f"{policy}/other")
    before = asked(bao)
    with pytest.raises(PermanentError, match=r"403.*permission denied"):
        app.look()
    assert asked(bao) - before == 1


def test_a_given_token_that_died_is_permanent_until_it_is_replaced(
    bao: OpenBao, source: Sources, policy: str, file: Any
) -> None:
    token = bao.new_token([policy])
    reference = file(token)
    app = source(auth={"token": reference})
    first = app.fetched()
    bao.write("auth/token/revoke", {"token": token})
    with pytest.raises(PermanentError, match=str(reference["file"])) as caught:
        app.look(held(first))
    assert token not in "".join(traceback.format_exception(caught.value))
    reference["file"].write_text(bao.new_token([policy]))
    assert isinstance(app.look(held(first)), Unchanged)


def test_a_given_token_is_renewed_at_two_thirds_of_its_life(
    bao: OpenBao, source: Sources, policy: str, file: Any
) -> None:
    clock = Clock(datetime.now(UTC))
    app = source(auth={"token": file(bao.new_token([policy], ttl="300s"))}, shared=Sessions(clock))
    assert_ann(app)
    renewals = len(bao.requests("auth/token/renew-self"))
    clock.now += timedelta(seconds=210)
    assert_ann(app)
    assert_ann(app)
    assert len(bao.requests("auth/token/renew-self")) == renewals + 1


def test_a_given_token_that_can_not_be_renewed_is_used_to_its_end(
    bao: OpenBao, source: Sources, policy: str, file: Any
) -> None:
    clock = Clock(datetime.now(UTC))
    token = bao.new_token([policy], ttl="300s", renewable=False)
    app = source(auth={"token": file(token)}, shared=Sessions(clock))
    assert_ann(app)
    clock.now += timedelta(seconds=210)
    assert_ann(app)
    clock.now += timedelta(seconds=210)
    assert_ann(app)


def test_a_given_token_that_may_not_renew_itself_is_used_to_its_end(
    bao: OpenBao, source: Sources, policy: str, file: Any
) -> None:
    clock, looking = Clock(datetime.now(UTC)), unique("looking")
    bao.policy(looking, 'path "auth/token/lookup-self" { capabilities = ["read"] }')
    token = bao.new_token([policy, looking], ttl="300s", no_default_policy=True)
    app = source(auth={"token": file(token)}, shared=Sessions(clock))
    assert_ann(app)
    clock.now += timedelta(seconds=210)
    renewals = len(bao.requests("auth/token/renew-self"))
    assert_ann(app)
    assert_ann(app)
    assert len(bao.requests("auth/token/renew-self")) == renewals + 1


def test_refused_credentials_are_permanent_and_in_no_text(bao: OpenBao, source: Sources, file: Any) -> None:
    bao.approle(unique("role"), [])
    auth = {"approle": {"role_id": file("geheim-role-id"), "secret_id": file("geheim-secret-id")}}
    with pytest.raises(PermanentError, match=r"auth/approle/login.*40\d") as caught:
        source(auth=auth).look()
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


def test_a_missing_secret_is_permanent(source: Sources, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="absent"):
        source(auth={"token": {"file": tmp_path / "absent"}}).look()
    login = {"role": "web", "token_file": tmp_path / "absent"}
    with pytest.raises(PermanentError, match="absent"):
        source(auth={"kubernetes": login}).look()


@pytest.mark.parametrize("token", ["geheim\x00genug", "geheim genug", "gehéim-genug", "geheim\r\nX-Evil: 1"])
def test_a_token_that_no_header_can_hold_is_not_shown(source: Sources, file: Any, token: str) -> None:
    with pytest.raises(PermanentError, match="characters") as caught:
        source(auth={"token": file(token)}).look()
    assert "genug" not in "".join(traceback.format_exception(caught.value))


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_sources_that_wait_for_a_failing_login_fail_with_it(source: Sources, approle: Any, silent: str) -> None:
    auth, shared = approle(), Sessions(lambda: datetime.now(UTC))
    sources = [source(auth=auth, shared=shared, address=silent, timeout="1s") for _ in range(8)]

    def failing(each: Source) -> None:
        with pytest.raises(TransientError):
            each.look()

    started = datetime.now(UTC)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(failing, sources))
    assert datetime.now(UTC) - started < timedelta(seconds=7), "one after the other they take eight"


def test_a_refused_login_is_not_repeated_for_every_source(
    bao: OpenBao, source: Sources, approle: Any, file: Any
) -> None:
    clock = Clock(datetime.now(UTC))
    shared = Sessions(clock)
    auth = {"approle": {**approle()["approle"], "secret_id": file("wrong")}}
    sources = [source(auth=auth, shared=shared) for _ in range(20)]
    for _ in range(2):
        before = asked(bao)
        for each in sources:
            with pytest.raises(PermanentError, match="auth/approle/login"):
                each.look()
        assert asked(bao) - before == 1
        clock.now += timedelta(seconds=1)


def test_a_second_factor_that_is_asked_for_is_permanent(source: Sources, approle: Any) -> None:
    answer = {"auth": {"client_token": "", "mfa_requirement": {"mfa_request_id": "x"}}}
    with (
        serving(lambda _: Reply(200, json.dumps(answer).encode())) as address,
        pytest.raises(PermanentError, match="second factor"),
    ):
        source(auth=approle(), address=address).look()


def test_the_namespace_is_the_login_s_and_the_secret_s(bao: OpenBao, source: Sources, file: Any) -> None:
    team = unique("team")
    bao.write(f"sys/namespaces/{team}")
    bao.write(f"{team}/sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    bao.write(f"{team}/kv/data/app", {"data": {"user": "ann"}})
    bao.write(f"{team}/sys/auth/userpass", {"type": "userpass"})
    bao.write(f"{team}/sys/policies/acl/app", {"policy": 'path "kv/data/app" { capabilities = ["read"] }'})
    bao.write(f"{team}/auth/userpass/users/ann", {"password": "geheim-genug", "token_policies": ["app"]})
    login = {"username": "ann", "password": file("geheim-genug")}
    assert_ann(source(namespace=team, path="kv/app", auth={"userpass": login}))


def test_a_token_needs_no_hvac(bao: OpenBao, policy: str, file: Any) -> None:
    token = file(bao.new_token([policy]))["file"]
    script = f"""
import sys
from providers.vault import VaultProvider
auth = {{"token": {{"file": {str(token)!r}}}}}
options = VaultProvider.Options(path={policy + "/app"!r}, address={bao.address!r}, auth=auth)
with VaultProvider(options, VaultProvider.Shared()).fetch(None) as found:
    print([file.name for file in found.files])
print(sorted({{"hvac", "requests", "botocore", "cryptography", "yaml"}} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["['user']", "[]"]


def test_a_certificate_login_reads_a_rotated_certificate(
    bao: OpenBao, source: Sources, policy: str, tmp_path: Path
) -> None:
    mount, clock = unique("cert"), Clock(datetime.now(UTC))
    root = bao.pki(mount, "client")
    bao.enable_login(mount, "cert")
    role = {"certificate": root, "allowed_common_names": "new", "token_policies": [policy]}
    bao.write(f"auth/{mount}/certs/web", role)
    login = {"cert_file": tmp_path / "client.crt", "key_file": tmp_path / "client.key", "mount": mount}
    app = source(address=bao.tls_address, ca_file=bao.ca_file, auth={"cert": login}, shared=Sessions(clock))
    for name in ("old", "new"):
        issued = bao.write(f"{mount}/issue/client", {"common_name": name})["data"]
        (tmp_path / "client.crt").write_text(issued["certificate"])
        (tmp_path / "client.key").write_text(issued["private_key"])
        if name == "old":
            with pytest.raises(PermanentError, match=f"auth/{mount}/login"):
                app.look()
            clock.now += timedelta(seconds=1)
    assert_ann(app)
