"""Every kind of trouble between a real OpenBao and us: what it is taken for, what is said of it, and what isn't."""

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path

import pytest

from providers.vault.connection import BODY_LIMIT
from refresher.contract import Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError, RefresherError, TransientError, UnavailableError
from tests.fakes.fault_proxy import (
    END,
    Fault,
    FaultProxy,
    after,
    fault_proxy,
    half,
    half_a_head,
    instead,
    refuses,
    replies,
    sends,
    silence,
)
from tests.fakes.serving import Asked, Reply, serving
from tests.providers.dripping import dripping
from tests.providers.vault_sources import Source, contents, held, unique
from tests.waiting import until

VALUE = "geheim-genug"
SECONDS = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Look:
    """A source of the real server through the proxy, and the request of its look that meets the trouble."""

    source: Source
    request: str
    secrets: tuple[str, ...]

    def failing(self, kind: type[RefresherError]) -> RefresherError:
        """The error of a look, which is of that kind, names the request, and shows no secret, causes included."""
        with pytest.raises(kind) as caught:
            self.source.look()
        assert type(caught.value) is kind
        assert self.request in str(caught.value)
        shown = "".join(traceback.format_exception(caught.value))
        assert not [secret for secret in self.secrets if secret in shown]
        return caught.value


Looks = Callable[..., Look]


@pytest.fixture
def proxy(bao: OpenBao) -> Iterator[FaultProxy]:
    with fault_proxy(bao.address) as proxy:
        yield proxy


@pytest.fixture
def reading(bao: OpenBao, proxy: FaultProxy, tmp_path: Path) -> Looks:
    mount = unique("kv")
    bao.kv(mount, 2)
    bao.write(f"{mount}/data/app", {"data": {"password": VALUE}})

    def look(**options: object) -> Look:
        source = Source(bao, tmp_path, **{"path": f"{mount}/app", "address": proxy.address, **options})
        return Look(source, f"GET {mount}/data/app", (bao.token, VALUE))

    return look


@pytest.fixture
def issuing(bao: OpenBao, proxy: FaultProxy, tmp_path: Path) -> Looks:
    mount = unique("pki")
    bao.pki(mount, "web")

    def look(**options: object) -> Look:
        request = {"path": f"{mount}/issue/web", "data": {"common_name": "web"}}
        source = Source(bao, tmp_path, **{**request, "address": proxy.address, **options})
        return Look(source, f"POST {mount}/issue/web", (bao.token, "PRIVATE KEY"))

    return look


@pytest.fixture
def logging_in(bao: OpenBao, proxy: FaultProxy, tmp_path: Path) -> Looks:
    mount = unique("kv")
    bao.kv(mount, 1)
    bao.write(f"{mount}/app", {"password": VALUE})
    bao.policy(mount, f'path "{mount}/app" {{ capabilities = ["read"] }}')
    names = ("role_id", "secret_id")
    values = dict(zip(names, bao.approle(unique("role"), [mount]), strict=True))
    for name, value in values.items():
        (tmp_path / name).write_text(value)

    def look(**options: object) -> Look:
        auth = {"approle": {name: {"file": tmp_path / name} for name in names}}
        source = Source(bao, tmp_path, **{"path": f"{mount}/app", "address": proxy.address, "auth": auth, **options})
        return Look(source, "POST auth/approle/login", (VALUE, *values.values()))

    return look


@pytest.fixture(params=["reading", "issuing", "logging_in"])
def looks(request: pytest.FixtureRequest) -> Looks:
    chosen: Looks = request.getfixturevalue(request.param)
    return chosen


def begin(proxy: FaultProxy, look: Look, fault: Fault) -> None:
    """Every request up to the one of the look passes; that one doesn't."""
    method, path = look.request.split()
    proxy.fail(fault, where=f"{method} /v1/{path}")


def works(source: Source) -> bool:
    """Whether a look comes to an end in time."""
    with suppress(TransientError):
        source.look()
        return True
    return False


def ahead(seconds: float) -> str:
    """A moment as HTTP writes it."""
    return formatdate(time.time() + seconds, usegmt=True)


HTML = b"<html><body>Please log in</body></html>"
OK = b"HTTP/1.1 200 OK\r\n"
OVERSIZED = replies(200, b'{"data": {"user": "' + b"x" * BODY_LIMIT + b'"}}')

AT_ONCE = {
    "400": (refuses(400, "not so"), PermanentError, "answered 400: not so"),
    "403": (refuses(403, "permission denied"), PermanentError, "answered 403: permission denied"),
    "405": (refuses(405, "unsupported operation"), PermanentError, "answered 405: unsupported operation"),
    "408": (replies(408, HTML), TransientError, "answered 408"),
    "412 behind": (refuses(412, "required index state not present"), TransientError, "answered 412: required index"),
    "429": (refuses(429, "request path rate limit"), UnavailableError, "answered 429: request path rate limit"),
    "472 standby": (replies(472), TransientError, "answered 472"),
    "473 standby": (replies(473), TransientError, "answered 473"),
    "500": (refuses(500, "internal error"), TransientError, "answered 500: internal error"),
    "502 html": (replies(502, HTML), UnavailableError, "answered 502"),
    "503 sealed": (refuses(503, "Vault is sealed"), UnavailableError, "answered 503: Vault is sealed"),
    "504": (replies(504), UnavailableError, "answered 504"),
    "html": (replies(200, HTML, Content_Type="text/html"), TransientError, "not a JSON object"),
    "half a body": (half, TransientError, "failed: IncompleteRead"),
    "half a head": (half_a_head, TransientError, "not a JSON object"),
    "no body": (replies(200), TransientError, "not a JSON object"),
    "closed before headers": (sends(b""), UnavailableError, "failed: RemoteDisconnected"),
    "bad chunk": (sends(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), TransientError, "failed"),
    "garbage": (sends(b"\x00\xff\x16\x03nonsense" + END), TransientError, "failed: BadStatusLine"),
    "garbage body": (replies(200, b"\x1f\x8b\x00\xff" * 99), TransientError, "not a JSON object"),
    "many headers": (sends(OK + b"X: y\r\n" * 200 + b"\r\n"), TransientError, "failed"),
    "long header": (sends(OK + b"X: " + b"y" * 100_000), TransientError, "failed"),
    "oversized": (OVERSIZED, PermanentError, "answered with more than 33554432 bytes"),
}


@pytest.mark.parametrize("trouble", AT_ONCE)
def test_trouble_is_named_after_what_helps_and_says_where_and_why(
    proxy: FaultProxy, looks: Looks, trouble: str
) -> None:
    fault, kind, reason = AT_ONCE[trouble]
    look = looks()
    begin(proxy, look, fault)
    error = look.failing(kind)
    assert reason in str(error)
    assert getattr(error, "retry_after", None) is None


EMPTY = {"reading": "found no fields", "issuing": "answered no fields", "logging_in": "granted no token"}
MISSING = {"reading": "nothing is there", "issuing": "answered 404", "logging_in": "answered 404"}


@pytest.mark.parametrize("who", EMPTY)
@pytest.mark.parametrize("answer", [replies(200, b"{}"), replies(204)], ids=["empty object", "204"])
def test_an_empty_answer_is_permanent(
    request: pytest.FixtureRequest, proxy: FaultProxy, who: str, answer: Fault
) -> None:
    look: Look = request.getfixturevalue(who)()
    begin(proxy, look, answer)
    assert EMPTY[who] in str(look.failing(PermanentError))


@pytest.mark.parametrize("who", MISSING)
def test_what_is_not_there_is_permanent(request: pytest.FixtureRequest, proxy: FaultProxy, who: str) -> None:
    look: Look = request.getfixturevalue(who)()
    begin(proxy, look, replies(404, b'{"errors": []}'))
    assert MISSING[who] in str(look.failing(PermanentError))


@pytest.mark.parametrize("status", [412, 429, 473, 500, 502, 503])
@pytest.mark.parametrize(("wait", "form"), [(7, str), (3600, str), (100, ahead)], ids=["seconds", "hour", "date"])
def test_who_says_when_to_come_again_is_heard(
    proxy: FaultProxy, looks: Looks, status: int, wait: int, form: Callable[[float], str]
) -> None:
    look, began = looks(), time.monotonic()
    begin(proxy, look, refuses(status, "later", Retry_After=form(wait)))
    error = look.failing(UnavailableError if status in (429, 502, 503) else TransientError)
    took = time.monotonic() - began
    assert isinstance(error, TransientError)
    assert error.retry_after is not None
    assert (wait - 2 - took) * SECONDS < error.retry_after <= wait * SECONDS  # HTTP's dates are whole seconds


SLOW = {
    "never answers": silence,
    "drips headers": instead(dripping(OK + b"X-Long: ", b"a")),
    "drips interim answers": instead(dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    "drips body": instead(dripping(OK + b"Content-Length: 1000\r\n\r\n{", b" ")),
    "drips chunks": instead(dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n")),
}


@pytest.mark.parametrize("trouble", SLOW)
def test_slowness_is_given_up_at_the_deadline(proxy: FaultProxy, looks: Looks, trouble: str) -> None:
    look = looks(timeout="2s")
    if "login" not in look.request:
        until(lambda: works(look.source))  # else another of its requests could be what comes too late
    begin(proxy, look, SLOW[trouble])
    began = time.monotonic()
    assert "failed: no whole answer in time" in str(look.failing(UnavailableError))
    assert time.monotonic() - began < 20


def test_the_deadline_is_for_the_whole_look_not_for_each_of_its_requests(proxy: FaultProxy, reading: Looks) -> None:
    source = reading(timeout="5s").source
    proxy.fail(after(1.9))
    began = time.monotonic()
    with pytest.raises(TransientError, match="no whole answer in time"):
        source.look()
    assert time.monotonic() - began < 20
    assert len(proxy.seen) > 1


def test_a_server_that_is_away_is_unavailable_and_works_again_when_it_is_back(
    proxy: FaultProxy, reading: Looks, issuing: Looks
) -> None:
    for look in (reading(), issuing()):
        look.source.look()
        proxy.away()
        assert "Connection refused" in str(look.failing(UnavailableError))
        proxy.back()
        look.source.look()


def test_a_sealed_server_is_unavailable_and_works_again_once_unsealed(tmp_path: Path) -> None:
    with OpenBao.started(tmp_path) as own:
        own.kv("kv", 1)
        own.pki("pki", "web")
        own.write("kv/app", {"user": "ann"})
        reading = Look(Source(own, tmp_path, path="kv/app"), "GET kv/app", (own.token,))
        data = {"common_name": "web"}
        issuing = Look(Source(own, tmp_path, path="pki/issue/web", data=data), "POST pki/issue/web", (own.token,))
        first = reading.source.fetched()
        issuing.source.look()
        own.seal()
        for look in (reading, issuing):
            assert "answered 503: Vault is sealed" in str(look.failing(UnavailableError))
        own.unseal()
        assert isinstance(reading.source.look(held(first)), Unchanged)
        assert issuing.source.fetched().minted


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed_and_the_token_stays(
    proxy: FaultProxy, looks: Looks, status: int
) -> None:
    asked: list[Asked] = []

    def elsewhere(each: Asked) -> Reply:
        asked.append(each)
        return Reply(200, b'{"data": {"user": "ann"}}')

    look = looks()
    with serving(elsewhere) as other:
        begin(proxy, look, replies(status, Location=f"{other}/v1/there"))
        assert f"redirected to {other[7:]}, where no token is sent" in str(look.failing(TransientError))
    assert asked == []


def test_a_missing_right_is_told_from_a_dead_token_by_one_more_request(proxy: FaultProxy, logging_in: Looks) -> None:
    source = logging_in().source
    first = source.fetched()
    proxy.fail(refuses(403, "permission denied"), where="GET /v1/kv")
    with pytest.raises(PermanentError, match="answered 403: permission denied"):
        source.look(held(first))
    assert len(proxy.asked("lookup-self")) == 1
    assert len(proxy.asked("login")) == 1


def test_a_dead_token_is_replaced_within_one_look(bao: OpenBao, proxy: FaultProxy, logging_in: Looks) -> None:
    source = logging_in().source
    first = source.fetched()
    bao.write("sys/leases/revoke-prefix/auth/approle/login")
    assert isinstance(source.look(held(first)), Unchanged)
    assert len(proxy.asked("login")) == 2


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("reading", "is refused by http.*it may have expired"),
        ("issuing", "is refused by http.*it may have expired"),
        ("logging_in", "auth/approle/login.*answered 403"),
    ],
)
def test_403_to_everything_is_permanent_costs_few_requests_and_the_old_token_is_good_again_afterwards(
    request: pytest.FixtureRequest, proxy: FaultProxy, who: str, reason: str
) -> None:
    source: Source = request.getfixturevalue(who)().source
    source.look()
    logins, before = len(proxy.asked("login")), len(proxy.seen)
    proxy.fail(refuses(403, "permission denied"))
    with pytest.raises(PermanentError, match=reason):
        source.look()
    assert len(proxy.seen) - before <= 3
    proxy.heal()
    assert contents(source.fetched())
    assert len(proxy.asked("login")) <= logins + 1


def test_a_right_that_was_missing_and_an_answer_that_was_cut_leave_nothing_behind(
    proxy: FaultProxy, looks: Looks
) -> None:
    look = looks()
    for fault in (refuses(403, "permission denied"), half, silence):
        begin(proxy, look, fault)
        with pytest.raises(RefresherError):
            looks(timeout="1s").source.look()
        proxy.heal()
        assert look.source.fetched().files
