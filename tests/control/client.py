"""Talks to a server over real sockets, with nothing of the server's own libraries."""

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        document: dict[str, Any] = self.json
        assert document["type"] == "about:blank"
        assert document["title"]
        assert document["status"] == self.status
        assert document["detail"]
        return document


class UnixConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(self.host)


class Client:
    def __init__(self, addresses: tuple[str, ...]) -> None:
        self.addresses = addresses

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return self.ask("GET", path, headers)

    def post(self, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Reply:
        return self.ask("POST", path, headers, body)

    def probes(self) -> "Client":
        return Client(self.addresses[1:])

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        chunked: bool = False,
    ) -> Reply:
        connection = self._connection()
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}), encode_chunked=chunked)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def socket(self) -> socket.socket:
        host, _, port = self.addresses[0].rpartition(":")
        return socket.create_connection((host, int(port)), timeout=10)

    def _connection(self) -> http.client.HTTPConnection:
        if self.addresses[0].startswith("unix:"):
            return UnixConnection(self.addresses[0].removeprefix("unix:"))
        host, _, port = self.addresses[0].rpartition(":")
        return http.client.HTTPConnection(host.strip("[]"), int(port), timeout=10)


def everything_until_closed(connection: socket.socket) -> bytes:
    """What the server sends before it hangs up; fails if it doesn't hang up within the socket's timeout."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def until_closed_or_reset(connection: socket.socket) -> bytes:
    """The same, where the server may not read all that is sent: that is thrown away, and so the end may be a reset."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received
