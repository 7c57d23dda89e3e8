"""Asking a running sidecar over its local API, from the command line."""

import http.client
import ipaddress
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Timer
from typing import Any
from urllib.parse import quote

from refresher.address import Tcp, Unix, parse_address
from refresher.errors import PermanentError, RefresherError
from refresher.options import Secret
from refresher.traffic import Transfer

ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes: 500 assets of 10,000 files each are shown in less."""

MEMBERS = frozenset({"asset", "result", "generation", "expires_at", "next_refresh_at", "why_next"}) | frozenset(
    {"notified_generation", "refused", "pinned", "error"}
)
"""Of an asset's document, that people are shown; what lacks one comes from somebody else who listens there."""


class UnreachableError(RefresherError):
    """No sidecar answers there."""


class Client:
    """Speaks to the control API at `listen` (`host:port` or `unix:/path`), at a wildcard address over loopback.

    Every call raises UnreachableError, and PermanentError if the token can't be read.
    """

    def __init__(self, listen: str, *, token: Secret | None = None) -> None:
        self._listen, self._token = listen, token

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON document of a GET."""
        return self._ask("GET", path, timeout=10.0)

    def post(self, path: str, *, timeout: float) -> tuple[int, Any]:
        """Status and JSON document of a POST, waiting up to `timeout` seconds."""
        return self._ask("POST", path, timeout=timeout)

    def transfers(self, assets: Sequence[str]) -> dict[str, Transfer]:
        """What is on its way, of these assets or, if none is named, of all; nothing while nobody answers."""
        paths = [f"/assets/{quote(asset, safe='')}" for asset in assets] or ["/assets"]
        with suppress(RefresherError):
            states = [state for path in paths for state in documents(self.get(path)[1]) or ()]
            return {state["asset"]: _transfer(state["transfer"]) for state in states if state.get("transfer")}
        return {}

    def _ask(self, method: str, path: str, *, timeout: float) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {_fit_for_header(self._token)}"} if self._token else {}
        connection = self._connection(timeout)
        try:
            connection.connect()
            with _cut_off(connection.sock, after=timeout):
                connection.request(method, path, headers=headers)
                response = connection.getresponse()
                return response.status, json.loads(response.read(ANSWER_LIMIT))
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            raise UnreachableError(f"no sidecar answers at {self._listen}: {error}") from error
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        where = parse_address(self._listen)
        if isinstance(where, Unix):
            return _UnixConnection(where.path, timeout)
        return http.client.HTTPConnection(_host_to_reach(where), where.port, timeout=timeout)


@contextmanager
def _cut_off(connection: socket.socket, *, after: float) -> Iterator[None]:
    """Raise TimeoutError `after` so many seconds: a socket's own timeout starts anew with each byte."""
    over = Event()

    def shut() -> None:
        over.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = Timer(after, shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        if over.is_set():
            raise TimeoutError(f"no whole answer within {after:g} s") from error
        raise
    finally:
        timer.cancel()


def documents(answer: Any) -> list[dict[str, Any]] | None:
    """The assets' documents in an answer; None in a problem, unless it is how a refresh ended."""
    found = answer.get("assets", [answer]) if isinstance(answer, dict) else None
    sensible = isinstance(found, list) and all(isinstance(each, dict) and each.keys() >= MEMBERS for each in found)
    return found if sensible else None


def configuration(answer: Any) -> dict[str, list[str]]:
    """What is to say of the configuration, in an answer that lists assets; nothing, of a sidecar that doesn't know."""
    found = answer.get("configuration") if isinstance(answer, dict) else None
    return {key: _texts(found.get(key) if isinstance(found, dict) else None) for key in ("problems", "restart_needed")}


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def reason(problem: Any) -> str:
    """What a problem says is wrong, if it is one."""
    if isinstance(problem, dict) and "title" in problem:
        return str(problem.get("detail") or problem["title"])
    return "no answer that makes sense"


def _transfer(document: Mapping[str, Any]) -> Transfer:
    return Transfer(
        received=document["received"],
        expected=document["expected"],
        seconds=document["seconds"],
        rate=document["bytes_per_second"],
    )


def _host_to_reach(where: Tcp) -> str:
    """Loopback for a wildcard, which names nobody: the sidecar refuses it as a Host."""
    try:
        address = ipaddress.ip_address(where.host)
    except ValueError:
        return where.host
    if not address.is_unspecified:
        return where.host
    return "::1" if address.version == 6 else "127.0.0.1"


def _fit_for_header(token: Secret) -> str:
    """The token's value; http.client shows one that doesn't fit into a header in its error."""
    value = token.read().strip()
    if not (value.isascii() and value.isprintable()):
        raise PermanentError(f"the secret in {token} is no token: it may have visible ASCII characters only")
    return value


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
