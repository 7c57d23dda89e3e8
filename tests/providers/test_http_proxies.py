"""Through the environment's proxies: requests in absolute form, and tunnels."""

import os
import ssl
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from providers.http import HttpOptions, HttpProvider
from refresher.demo.caddy import NAME, Caddy
from refresher.demo.process import free_port
from refresher.errors import PermanentError, RefresherError, TransientError
from tests.fakes.forward_proxy import forward_proxy
from tests.providers.reading import content, fetched
from tests.providers.test_bodies import BODY, MIB, stored
from tests.providers.test_http import self_signed
from tests.providers.test_http_parts import described, part

LOGIN = "reader:hunter2%"
IN_URL = "reader:hunter2%25"
Environment = Callable[[str], None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Set the proxy for both schemes."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)

    def named(proxy: str) -> None:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("HTTPS_PROXY", proxy)

    return named


@pytest.fixture(scope="module")
def big(caddy: Caddy) -> Iterator[str]:
    """A file of 80 MiB."""
    path = stored(caddy, BODY * 84)
    yield path
    (caddy.root / path[1:]).unlink()


def named(caddy: Caddy, *, secure: bool) -> str:
    """The server's URL by its name."""
    return (caddy.https_url if secure else caddy.url).replace("127.0.0.1", NAME)


@pytest.mark.parametrize("secure", [False, True], ids=["absolute", "tunnel"])
def test_a_big_file_and_its_parts_come_through_a_proxy_that_wants_a_login(
    caddy: Caddy, big: str, environment: Environment, secure: bool
) -> None:
    with forward_proxy(LOGIN) as proxy:
        environment(f"http://{IN_URL}@{proxy.address}")
        with described(named(caddy, secure=secure) + big, ca_file=caddy.ca_file) as file:
            assert file.size == len(BODY) * 84 > 64 * MIB
            whole = content(file)
            assert whole == BODY * 84
            assert part(file, 70 * MIB, MIB) == whole[70 * MIB : 71 * MIB]
            assert content(file, 79 * MIB) == whole[79 * MIB :]
    assert all(asked.startswith("CONNECT" if secure else f"GET http://{NAME}") for asked in proxy.asked)
    assert proxy.asked


@pytest.mark.parametrize("secure", [False, True], ids=["absolute", "tunnel"])
def test_a_proxy_that_is_asked_over_tls_has_to_show_a_certificate_of_the_systems_authorities(
    caddy: Caddy, big: str, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    pem = self_signed(tmp_path / "proxy.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    with forward_proxy(LOGIN, context) as proxy:
        environment(f"https://{IN_URL}@{proxy.address}")
        assert "certificate" in str(refused(named(caddy, secure=secure) + big))
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        with described(named(caddy, secure=secure) + big, ca_file=caddy.ca_file) as file:
            assert part(file, 70 * MIB, MIB) == (BODY * 84)[70 * MIB : 71 * MIB]


def test_a_proxy_without_scheme_is_an_http_one(caddy: Caddy, big: str, environment: Environment) -> None:
    with forward_proxy() as proxy:
        environment(proxy.address)
        with described(named(caddy, secure=False) + big) as file:
            assert part(file, MIB, 10) == (BODY * 2)[MIB : MIB + 10]
    assert proxy.asked


def refused(url: str) -> RefresherError:
    with closing(HttpProvider(HttpOptions(url=url))) as provider, pytest.raises(RefresherError) as error:
        fetched(provider)
    assert "hunter" not in "".join(traceback.format_exception(error.value))
    return error.value


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_the_login_is_permanent_and_the_login_is_not_shown(
    environment: Environment, scheme: str
) -> None:
    with forward_proxy(LOGIN) as proxy:
        environment(f"http://reader:hunter3@{proxy.address}")
        error = refused(f"{scheme}://{NAME}/file")
    assert isinstance(error, PermanentError)
    assert "407" in str(error)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_away_is_transient_and_its_login_is_not_shown(environment: Environment, scheme: str) -> None:
    environment(f"http://{IN_URL}@127.0.0.1:{free_port()}")
    error = refused(f"{scheme}://{NAME}/file")
    assert isinstance(error, TransientError)
    assert "proxy" in str(error)


@pytest.mark.parametrize("proxy", ["http://u:hunter2@host:port", "ftp://u:hunter2@host", "http://u:hunter2@[host"])
def test_a_proxy_that_is_no_url_is_permanent_and_not_shown(environment: Environment, proxy: str) -> None:
    environment(proxy)
    error = refused(f"https://{NAME}/file")
    assert isinstance(error, PermanentError)
    assert "proxy" in str(error)


def test_a_host_that_no_proxy_names_is_asked_directly(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forward_proxy() as proxy:
        environment(proxy.address)
        monkeypatch.setenv("no_proxy", NAME)
        assert "has no address" in str(refused(f"http://{NAME}/file"))
    assert not proxy.asked
