"""Who may ask: a guard in front of the control listener's application, as plain ASGI.

What it refuses: a Host that isn't ours is how a page in a browser reaches a loopback port under its own name (DNS
rebinding); a foreign Origin is how it posts without asking, and Sec-Fetch-Site how it loads what it can't read; a
forwarding header means that a proxy brings strangers in.
"""

import hmac
import ipaddress
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refresher.control.problems import ProblemResponse
from refresher.errors import PermanentError
from refresher.options import Secret

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
OPEN = frozenset({"/livez", "/readyz"})
BY_HAND = ("/rollback/", "/unpin/")
FORWARDING = (
    "x-forwarded-for",
    "x-forwarded-host",
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
)
BODY_LIMIT = 64 * 1024
"""Bytes. No call has a use for a body."""

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]+))(?::[0-9]*)?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the guard goes by.

    `hosts` are names that Host may have besides loopback's and the address that was connected to, None where Host has
    no meaning (a Unix socket). `exposed` says that others than this pod can connect.
    """

    hosts: frozenset[str] | None
    token: Secret | None
    exposed: bool


class Guard:
    """Lets a request through to the application, or answers with its refusal."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await (refusal(scope, self._rules) or self._app)(scope, receive, send)


def refusal(scope: Scope, rules: Rules) -> Response | None:
    """The answer to a request that may not pass: 403 wherever it comes from, 401 without the token."""
    headers = Headers(scope=scope)
    if not _host_allowed(headers, scope, rules.hosts):
        return ProblemResponse(
            403, "the Host header names neither loopback, the listen address nor one of control.hosts"
        )
    if any(origin.lower() != f"http://{headers.get('host', '')}".lower() for origin in headers.getlist("origin")):
        return ProblemResponse(403, "requests from pages of another origin are refused")
    if _from_another_page(headers, scope["method"]):
        return ProblemResponse(403, "requests that a page of another site or origin makes are refused")
    if any(name in headers for name in FORWARDING):
        return ProblemResponse(403, "forwarded requests are refused: this API is for the pod it runs in")
    if rules.token is None and rules.hosts is not None and _by_hand(scope):
        return ProblemResponse(403, "this needs a control.token, or control.listen on a Unix socket")
    if token_needed(scope["method"], scope["path"], rules):
        return _unauthorized(headers.getlist("authorization"), rules.token)
    return None


def _host_allowed(headers: Headers, scope: Scope, hosts: Iterable[str] | None) -> bool:
    if hosts is None:
        return True
    written = headers.getlist("host")
    if len(written) != 1:
        return False
    name = host_name(written[0])
    # An address, unlike a name, can't be made to point here: whoever writes the one that was connected to meant it.
    connected_to = (scope.get("server") or ("",))[0]
    return name in LOOPBACK or name == connected_to or name in hosts or written[0].lower() in hosts


def host_name(written: str) -> str:
    """A Host header without its port, in lower case, an IPv6 address without brackets; "" if it isn't one."""
    match = _HOST.fullmatch(written.lower())
    return match[1] or match[2] if match else ""


def is_loopback(address: str) -> bool:
    """Whether an IP address can be reached from this network namespace only."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _from_another_page(headers: Headers, method: str) -> bool:
    """Whether a browser says so (W3C Fetch Metadata). "same-site" is one, too: another port of the same host is that.

    A link that somebody follows passes: it only shows, in a window that the page can't look into.
    """
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return method != "GET" or not link


def _by_hand(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["method"] == "POST" and path.startswith(BY_HAND)


def token_needed(method: str, path: str, rules: Rules) -> bool:
    """Whether a call has to come with the token."""
    if path in OPEN:
        return False
    return rules.exposed or (rules.token is not None and method not in ("GET", "HEAD"))


def _unauthorized(given: list[str], token: Secret | None) -> Response | None:
    try:
        expected = token.read() if token else None
    except PermanentError as error:
        _log.error("the control token can't be read, so requests are refused: %s", error)
        return ProblemResponse(503, "the control token can't be read; the log says why")
    scheme, _, value = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    # Constant time, or the time of the answer would give the token away byte by byte.
    if (
        expected
        and scheme.lower() == "bearer"
        and hmac.compare_digest(value.strip().encode("latin-1"), expected.strip().encode())
    ):
        return None
    return ProblemResponse(
        401, "this needs Authorization: Bearer and the control token", headers={"www-authenticate": "Bearer"}
    )


class WholeBody:
    """Takes a request's body in before anything is done, and drops it: a request that breaks off does nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        size = await _drop(scope, receive)
        if size is None:
            return
        await (_unfit(scope, size) or self._app)(scope, receive, send)


def _unfit(scope: Scope, size: int) -> Response | None:
    if size > BODY_LIMIT:
        return ProblemResponse(413, f"the body is larger than {BODY_LIMIT} bytes")
    headers = Headers(scope=scope)
    # Where a proxy goes by the one length and we by the other, the body's end is the next client's beginning.
    if "transfer-encoding" in headers and "content-length" in headers:
        return ProblemResponse(400, "a body has one length", headers={"connection": "close"})
    return None


async def _drop(scope: Scope, receive: Receive) -> int | None:
    """The body's size, as far as it was worth reading; None if the client left midway."""
    size = int(Headers(scope=scope).get("content-length", "0"))
    if size > BODY_LIMIT:
        return size
    size, more = 0, True
    while more and size <= BODY_LIMIT:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    return size


class Stamp:
    """Adds what every answer says: when it was made (RFC 9110, 6.6.1), and that it isn't to be kept or guessed at."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(
                    {"date": formatdate(usegmt=True), "cache-control": "no-store", "x-content-type-options": "nosniff"}
                )
            await send(message)

        await self._app(scope, receive, stamped)
