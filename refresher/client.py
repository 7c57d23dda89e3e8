"""Asking a running sidecar over its local API, from the command line."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from refresher.errors import RefresherError
from refresher.options import Secret

ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes: 500 assets of 10,000 files each are shown in less."""


class UnreachableError(RefresherError):
    """No sidecar answers there."""


class Client:
    """Speaks to the control API at `listen` (`host:port` or `unix:/path`)."""

    def __init__(self, listen: str, *, token: Secret | None = None) -> None:
        self._listen, self._token = listen, token

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON document of a GET. Raises UnreachableError."""
        return self._ask("GET", path, timeout=10.0)

    def post(self, path: str, *, timeout: float) -> tuple[int, Any]:
        """Status and JSON document of a POST, waiting up to `timeout` seconds. Raises UnreachableError."""
        return self._ask("POST", path, timeout=timeout)

    def _ask(self, method: str, path: str, *, timeout: float) -> tuple[int, Any]:
        connection = self._connection(timeout)
        headers = {"Authorization": f"Bearer {self._token.read()}"} if self._token else {}
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read(ANSWER_LIMIT))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnreachableError(f"no sidecar answers at {self._listen}: {error}") from error
        finally:
            connection.close()

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._listen.startswith("unix:"):
            return _UnixConnection(Path(self._listen.removeprefix("unix:")), timeout)
        return http.client.HTTPConnection(self._listen, timeout=timeout)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
