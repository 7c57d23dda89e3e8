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
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from providers.vault.session import Sessions
from refresher.contract import Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError, TransientError
from tests.fakes.serving import Asked, Reply, serving
from tests.fakes.token_review import service_account_token, token_review
from tests.providers.vault_sources import Clock, Source, Sources, contents, held, unique


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


def logins(bao: OpenBao, mount: str = "approle") -> int:
    return len(bao.requests(f"auth/{mount}/login"))


def assert_ann(app: Source) -> None:
    assert contents(app.fetched()) == {"user": b"ann"}


def test_approle(source: Sources, approle: Any) -> None:
    assert_ann(source(auth=approle()))


def test_approle_without_a_secret_id(bao: OpenBao, source: Sources, policy: str, file: Any) -> None:
    networks = ["127.0.0.1/32"]
    name = unique("role")
    role_id, _ = bao.approle(name, [policy], token_bound_cidrs=networks)
    bao.write(f"auth/approle/role/{name}", {"bind_secret_id": False})
    assert_ann(source(auth={"approle": {"role_id": file(role_id)}}))


def test_userpass(bao: OpenBao, source: Sources, policy: str, file: Any) -> None:
    mount = unique("userpass")
    bao.enable_login(mount, "userpass")
    bao.write(f"auth/{mount}/users/ann", {"password": "geheim-genug", "token_policies": [policy]})
    login = {"username": "ann", "password": file("geheim-genug"), "mount": mount}
    assert_ann(source(auth={"userpass": login}))


@pytest.fixture
def kubernetes(bao: OpenBao, policy: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(mount, {service account token: account} that the cluster knows)."""
    mount, known = unique("kubernetes"), dict[str, str]()
    with token_review(known) as address:
        bao.enable_login(mount, "kubernetes")
        bao.write(
            f"auth/{mount}/config",
            {
                "kubernetes_host": address,
                "token_reviewer_jwt": service_account_token("vault", "reviewer"),
                "kubernetes_ca_cert": bao.ca_file.read_text(),
                "disable_local_ca_jwt": True,
            },
        )
        role = {"bound_service_account_names": "web", "bound_service_account_namespaces": "shop"}
        bao.write(f"auth/{mount}/role/web", role | {"token_policies": [policy], "token_ttl": "1h"})
        yield mount, known


def test_kubernetes_reads_the_rotated_token_at_each_login(
    bao: OpenBao, source: Sources, tmp_path: Path, kubernetes: tuple[str, dict[str, str]]
) -> None:
    mount, known = kubernetes
    file = tmp_path / "service-account"
    app = source(auth={"kubernetes": {"role": "web", "mount": mount, "token_file": file}})
    file.write_text(service_account_token("shop", "web"))
    with pytest.raises(PermanentError, match=f"auth/{mount}/login"):
        app.look()
    known[file.read_text()] = "shop:web"
    assert_ann(app)
    bao.write(f"sys/leases/revoke-prefix/auth/{mount}/login")
    known.clear()
    file.write_text(service_account_token("shop", "web", serial=2))
    known[file.read_text()] = "shop:web"
    assert_ann(app)


def signed_token(key: ec.EllipticCurvePrivateKey, claims: dict[str, object]) -> str:
    def encoded(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    head = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT"}, claims))
    r, s = decode_dss_signature(key.sign(head.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{head}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"


def test_jwt(bao: OpenBao, source: Sources, policy: str, file: Any) -> None:
    mount, key = unique("jwt"), ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    bao.enable_login(mount, "jwt")
    bao.write(f"auth/{mount}/config", {"jwt_validation_pubkeys": [public.decode()]})
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": [policy]}
    bao.write(f"auth/{mount}/role/ci", role)
    now = int(datetime.now(UTC).timestamp())
    token = signed_token(key, {"sub": "build", "aud": "vault", "iat": now, "exp": now + 600})
    assert_ann(source(auth={"jwt": {"role": "ci", "mount": mount, "token_file": file(token)["file"]}}))


def test_cert(bao: OpenBao, source: Sources, policy: str, tmp_path: Path) -> None:
    mount = unique("cert")
    root = bao.pki(mount, "client")
    issued = bao.write(f"{mount}/issue/client", {"common_name": "web"})["data"]
    (tmp_path / "client.crt").write_text(issued["certificate"])
    (tmp_path / "client.key").write_text(issued["private_key"])
    bao.enable_login(mount, "cert")
    bao.write(f"auth/{mount}/certs/web", {"certificate": root, "token_policies": [policy]})
    login = {"cert_file": tmp_path / "client.crt", "key_file": tmp_path / "client.key", "mount": mount}
    for named in ({}, {"name": "web"}):
        assert_ann(source(address=bao.tls_address, ca_file=bao.ca_file, auth={"cert": login | named}))


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
    before = logins(bao)
    with ThreadPoolExecutor(10) as pool:
        assert [contents(each) for each in pool.map(Source.fetched, sources)] == [{"user": b"ann"}] * 10
    assert logins(bao) - before == 1
    shared.close()


def test_a_login_is_renewed_at_two_thirds_of_its_life(bao: OpenBao, source: Sources, approle: Any) -> None:
    clock = Clock(datetime.now(UTC))
    app = source(auth=approle(token_ttl="300s"), shared=Sessions(clock))
    assert_ann(app)
    before, renewals = logins(bao), len(bao.requests("auth/token/renew-self"))
    clock.now += timedelta(seconds=190)
    assert_ann(app)
    assert len(bao.requests("auth/token/renew-self")) == renewals
    clock.now += timedelta(seconds=20)
    assert_ann(app)
    assert len(bao.requests("auth/token/renew-self")) == renewals + 1
    assert logins(bao) == before


def test_a_login_that_can_not_be_renewed_is_made_anew(bao: OpenBao, source: Sources, approle: Any) -> None:
    clock = Clock(datetime.now(UTC))
    app = source(auth=approle(token_type="batch", token_ttl="300s"), shared=Sessions(clock))
    assert_ann(app)
    before = logins(bao)
    clock.now += timedelta(seconds=210)
    assert_ann(app)
    assert logins(bao) == before + 1


def test_a_login_whose_renewal_grants_little_is_made_anew(
    bao: OpenBao, source: Sources, policy: str, file: Any
) -> None:
    clock, role = Clock(datetime.now(UTC)), unique("role")
    role_id, secret_id = bao.approle(role, [policy], token_ttl="300s")
    auth = {"approle": {"role_id": file(role_id), "secret_id": file(secret_id)}}
    app = source(auth=auth, shared=Sessions(clock))
    assert_ann(app)
    before = logins(bao)
    bao.write(f"auth/approle/role/{role}", {"token_ttl": "60s"})
    clock.now += timedelta(seconds=210)
    assert_ann(app)
    assert logins(bao) == before + 1


def test_a_login_that_can_be_neither_renewed_nor_made_anew_is_used_to_its_end(
    bao: OpenBao, source: Sources, approle: Any
) -> None:
    clock = Clock(datetime.now(UTC))
    settings = {"token_type": "batch", "token_ttl": "300s", "secret_id_num_uses": 1}
    app = source(auth=approle(**settings), shared=Sessions(clock))
    assert_ann(app)
    clock.now += timedelta(seconds=210)
    before = logins(bao)
    assert_ann(app)
    assert_ann(app)
    assert logins(bao) == before + 1
    clock.now += timedelta(seconds=40)
    assert_ann(app)
    assert logins(bao) == before + 2
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
    before = logins(bao)
    with pytest.raises(PermanentError, match=r"403.*permission denied"):
        app.look()
    assert logins(bao) - before == 1


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
    assert datetime.now(UTC) - started < timedelta(seconds=5)


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
print(sorted({{"hvac", "requests", "boto3", "botocore", "cryptography", "yaml"}} & set(sys.modules)))
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
    assert_ann(app)
