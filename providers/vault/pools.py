"""Connections to one server; new ones as soon as a certificate file was replaced."""

import logging
import ssl
import threading
from typing import Any
from urllib.parse import SplitResult

import urllib3

from providers.connections import Certificates, Contexts
from providers.deadline import PunctualHttpPool, PunctualHttpsPool
from refresher.errors import PermanentError

_SHAPE: dict[str, Any] = {"maxsize": 64, "retries": False}

_log = logging.getLogger(__name__)


class PlainPool:
    """Connections over plain HTTP."""

    def __init__(self, server: SplitResult) -> None:
        self._pool = PunctualHttpPool(server.hostname or "", port=server.port, **_SHAPE)

    def current(self) -> urllib3.HTTPConnectionPool:
        """The pool to take a connection from."""
        return self._pool

    def close(self) -> None:
        """Close what is open."""
        self._pool.close()


class TlsPool:
    """Connections over TLS. `server_name` is whose certificate the server has to show, None: the address's host."""

    def __init__(
        self, server: SplitResult, certificates: Certificates, *, server_name: str | None, contexts: Contexts
    ) -> None:
        self._server, self._certificates = server, certificates
        self._server_name, self._contexts = server_name, contexts
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._complaint = ""

    def current(self) -> urllib3.HTTPConnectionPool:
        """The pool to take a connection from, with what the files hold now.

        Files that can't be used leave the pool as it was: a certificate and its key are seldom replaced in one moment.
        Raises PermanentError if there has been none yet.
        """
        with self._lock:
            try:
                context, self._complaint = self._contexts.context(self._certificates), ""
            except PermanentError as error:
                if self._pool is None:
                    raise
                self._complain(str(error))
                return self._pool
            if self._pool is None or context is not self._context:
                # The old one isn't closed, because others are about to use it: it closes itself after the last of them.
                self._context, self._pool = context, self._made(context)
            return self._pool

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            if self._pool:
                self._pool.close()

    def _made(self, context: ssl.SSLContext) -> urllib3.HTTPConnectionPool:
        server, name = self._server, self._server_name
        return PunctualHttpsPool(
            server.hostname or "", port=server.port, ssl_context=context, server_hostname=name, **_SHAPE
        )

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            _log.warning("%s; the connections to %s keep what they had", text, self._server.netloc)
        self._complaint = text
