from collections.abc import Callable
from pathlib import Path

import pytest

from refresher.control.guards import Rules, is_loopback, refusal
from refresher.errors import ConfigError
from refresher.options import Secret
from tests.control.client import Client
from tests.fakes.sidecar import FakeSidecar, outcome

GOOD = {"Authorization": "Bearer tok-9d1f"}


@pytest.fixture
def token(tmp_path: Path) -> Secret:
    path = tmp_path / "token"
    path.write_text("tok-9d1f\n")
    return Secret(file=path)


def port(client: Client) -> str:
    return client.addresses[0].rpartition(":")[2]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LocalHost:1", "127.0.0.1:99", "[::1]:8470", "[::1]"])
def test_loopback_names_pass_with_any_port(client: Client, host: str) -> None:
    assert client.get("/assets", {"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "localhost:evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8470",
        "evil.example:127.0.0.1", "[::1].evil.example.", "localhost@evil.example", "127.0.0.1, evil.example",
        "0.0.0.0", "10.1.2.3", "[::ffff:10.1.2.3]",
    ],
)  # fmt: skip
def test_a_name_that_was_rebound_to_us_is_refused(client: Client, sidecar: FakeSidecar, host: str) -> None:
    for path in ("/assets", "/refresh/web-tls"):
        reply = client.ask("POST" if "refresh" in path else "GET", path, {"Host": host})
        assert reply.status == 403
        assert "Host" in reply.problem()["detail"]
    assert sidecar.asked == 0


def test_a_request_without_host_is_refused(client: Client) -> None:
    with client.socket() as connection:
        connection.sendall(b"GET /assets HTTP/1.0\r\n\r\n")
        assert b" 403 " in connection.recv(65536)


def test_the_listen_address_and_configured_hosts_pass(serve: Callable[..., Client]) -> None:
    client = serve(listen="127.0.0.2:0", hosts=["Web.Internal", "app:8470"])
    for host in ("127.0.0.2", "web.internal", "web.internal:80", "app:8470"):
        assert client.get("/assets", {"Host": host}).status == 200
    assert client.get("/assets", {"Host": "app:8471"}).status == 403
    assert client.get("/assets", {"Host": "internal"}).status == 403


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "https://localhost:8470", "http://localhost:1", "", "http://"]
)
def test_a_page_of_another_origin_is_refused(client: Client, sidecar: FakeSidecar, origin: str) -> None:
    reply = client.post("/refresh/web-tls", {"Host": "localhost:8470", "Origin": origin})
    assert reply.status == 403
    assert "origin" in reply.problem()["detail"]
    assert sidecar.asked == 0


def test_the_own_origin_passes(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.ends["web-tls"] = outcome("web-tls")
    origin = f"http://localhost:{port(client)}"
    assert client.post("/refresh/web-tls", {"Host": f"localhost:{port(client)}", "Origin": origin}).status == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "x-forwarded-for", "Forwarded"])
def test_a_forwarded_request_is_refused(client: Client, header: str) -> None:
    reply = client.get("/assets", {header: "127.0.0.1"})
    assert reply.status == 403
    assert "forwarded" in reply.problem()["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Authorization": "Bearer wrong"}, {"Authorization": "tok-9d1f"}, {"Authorization": "Basic tok-9d1f"},
        {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer tok-9d1f2"},
        {"Authorization": "Bearer tök"},
    ],
)  # fmt: skip
def test_without_the_token_a_post_is_401(
    serve: Callable[..., Client], sidecar: FakeSidecar, token: Secret, headers: dict[str, str]
) -> None:
    client = serve(token=token)
    reply = client.post("/refresh/web-tls", headers)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert b"tok-9d1f" not in reply.body
    reply.problem()
    assert sidecar.asked == 0


def test_with_the_token_a_post_passes_and_a_get_on_loopback_needs_none(
    serve: Callable[..., Client], sidecar: FakeSidecar, token: Secret
) -> None:
    client = serve(token=token)
    sidecar.ends["web-tls"] = outcome("web-tls")
    assert client.post("/refresh/web-tls", GOOD).status == 200
    assert client.post("/refresh/web-tls", {"Authorization": "bearer  tok-9d1f "}).status == 200
    assert client.get("/assets").status == 200


def test_a_rotated_token_counts_at_once_and_the_old_one_no_more(
    serve: Callable[..., Client], sidecar: FakeSidecar, token: Secret
) -> None:
    client = serve(token=token)
    sidecar.ends["web-tls"] = outcome("web-tls")
    assert token.file
    token.file.write_text("tok-new")
    assert client.post("/refresh/web-tls", GOOD).status == 401
    assert client.post("/refresh/web-tls", {"Authorization": "Bearer tok-new"}).status == 200


def test_a_token_that_cannot_be_read_lets_nobody_in(serve: Callable[..., Client], token: Secret) -> None:
    client = serve(token=token)
    assert token.file
    token.file.unlink()
    for headers in (GOOD, {}, {"Authorization": "Bearer "}):
        reply = client.post("/refresh/web-tls", headers)
        assert reply.status == 503
        assert str(token.file) not in reply.problem()["detail"]


def test_an_exposed_listener_wants_the_token_for_all_but_livez_and_readyz(
    serve: Callable[..., Client], sidecar: FakeSidecar, token: Secret
) -> None:
    client = Client((serve(listen="0.0.0.0:0", token=token).addresses[0].replace("0.0.0.0", "127.0.0.1"),))
    for path in ("/", "/assets", "/assets/web-tls", "/metrics", "/nothing", "/livez/"):
        assert client.get(path).status == 401
    for path in ("/livez", "/readyz"):
        assert client.get(path).status == 200
    assert client.get("/assets", GOOD).status == 200
    for host in ("evil.example", "0.0.0.0"):
        assert client.get("/livez", {"Host": host}).status == 403


def test_an_exposed_listener_without_a_token_does_not_start(serve: Callable[..., Client]) -> None:
    with pytest.raises(ConfigError, match=r"control\.token.*required"):
        serve(listen="0.0.0.0:0")


def test_the_address_that_was_connected_to_is_a_good_host_on_a_wildcard() -> None:
    rules = Rules(hosts=frozenset(), token=None, exposed=False)
    scope = {"type": "http", "method": "GET", "path": "/assets", "server": ("10.1.2.3", 8470)}
    assert refusal(scope | {"headers": [(b"host", b"10.1.2.3:8470")]}, rules) is None
    refused = refusal(scope | {"headers": [(b"host", b"10.1.2.4:8470")]}, rules)
    assert refused is not None
    assert refused.status_code == 403


def test_two_hosts_in_one_request_are_refused() -> None:
    rules = Rules(hosts=frozenset(), token=None, exposed=False)
    scope = {"type": "http", "method": "GET", "path": "/", "server": ("127.0.0.1", 1)}
    headers = [(b"host", b"localhost"), (b"host", b"evil.example")]
    refused = refusal(scope | {"headers": headers}, rules)
    assert refused is not None
    assert refused.status_code == 403


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_only_loopback_is_loopback(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


def test_a_unix_socket_has_no_host_and_counts_as_loopback(
    serve: Callable[..., Client], sidecar: FakeSidecar, tmp_path: Path, token: Secret
) -> None:
    sidecar.ends["web-tls"] = outcome("web-tls")
    client = serve(listen=f"unix:{tmp_path}/control.sock")
    assert client.post("/refresh/web-tls", {"Host": "whatever"}).status == 200
    assert client.get("/assets", {"X-Forwarded-For": "10.0.0.1"}).status == 403
    guarded = serve(listen=f"unix:{tmp_path}/other.sock", token=token)
    assert guarded.get("/assets").status == 200
    assert guarded.post("/refresh/web-tls").status == 401


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413_and_nothing_is_asked(client: Client, sidecar: FakeSidecar, chunked: bool) -> None:
    body = iter([b"x" * 65536, b"x"]) if chunked else b"x" * 65537
    reply = client.ask("POST", "/refresh/web-tls", body=body, chunked=chunked)
    assert reply.status == 413
    reply.problem()
    assert sidecar.asked == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_up_to_the_limit_is_ignored(client: Client, sidecar: FakeSidecar, chunked: bool) -> None:
    sidecar.ends["web-tls"] = outcome("web-tls")
    body = iter([b"x" * 32768, b"x" * 32768]) if chunked else b"x" * 65536
    assert client.ask("POST", "/refresh/web-tls", body=body, chunked=chunked).status == 200


def test_a_request_that_breaks_off_midway_does_nothing(client: Client, sidecar: FakeSidecar) -> None:
    with client.socket() as connection:
        connection.sendall(b"POST /refresh/web-tls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
    assert client.get("/assets").status == 200
    assert sidecar.asked == 0
