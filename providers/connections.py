"""Pooled HTTP connections: with a CA, a client certificate (read again when they change), the environment's proxies."""

import ssl
import threading
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from refresher.errors import PermanentError

DEFAULT_PORTS = {"http": 80, "https": 443}
CONNECTIONS = 16
"""Idle connections kept a host."""


class Origin(NamedTuple):
    """Scheme, host and port: what credentials belong to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """The origin of an http or https URL."""
        parts = urlsplit(url)
        return cls(parts.scheme, parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])


Facts = tuple[tuple[int, int, int], ...]
"""Inode, bytes and modification time of each certificate file: others mean that it was replaced."""


class Connections:
    """Asks over pooled connections. The login's certificate is presented only where the caller says so."""

    def __init__(
        self, *, ca_file: Path | None, cert_file: Path | None, key_file: Path | None, timeout: urllib3.Timeout
    ) -> None:
        self._ca_file, self._cert_file, self._key_file, self._timeout = ca_file, cert_file, key_file, timeout
        self._lock = threading.Lock()
        self._facts: Facts = ()
        self._pools: dict[tuple[str, bool], urllib3.PoolManager] = {}

    def get(self, url: str, headers: dict[str, str], *, with_certificate: bool) -> urllib3.BaseHTTPResponse:
        """The answer, its body unread, redirects not followed. Raises urllib3's errors, PermanentError for files."""
        return self._pool(url, with_certificate=with_certificate).request(
            "GET", url, headers=headers, preload_content=False, decode_content=False, redirect=False, retries=False
        )

    def close(self) -> None:
        """Close all idle connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()
            self._pools.clear()

    def _pool(self, url: str, *, with_certificate: bool) -> urllib3.PoolManager:
        facts = self._look()
        if facts != self._facts:
            self.close()
        key = (_proxy(url), with_certificate)
        with self._lock:
            self._facts = facts
            if key not in self._pools:
                self._pools[key] = self._made(*key)
            return self._pools[key]

    def _look(self) -> Facts:
        files = [path for path in (self._ca_file, self._cert_file, self._key_file) if path]
        try:
            found = [path.stat() for path in files]
        except OSError as error:
            raise PermanentError(f"the certificate file {error.filename} can't be read: {error.strerror}") from error
        return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)

    def _made(self, proxy: str, with_certificate: bool) -> urllib3.PoolManager:  # noqa: FBT001 - the pool's key
        context = self._context(self._cert_file if with_certificate else None)
        if not proxy:
            return urllib3.PoolManager(ssl_context=context, timeout=self._timeout, maxsize=CONNECTIONS)
        parts = urlsplit(proxy)
        login = None
        if parts.username is not None:
            login = urllib3.make_headers(proxy_basic_auth=unquote(f"{parts.username}:{parts.password or ''}"))
        return urllib3.ProxyManager(
            proxy, proxy_headers=login, ssl_context=context, timeout=self._timeout, maxsize=CONNECTIONS
        )

    def _context(self, cert_file: Path | None) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
            if cert_file:
                context.load_cert_chain(cert_file, self._key_file)
        except (ssl.SSLError, OSError) as error:
            raise PermanentError(f"the certificate files can't be used: {error.strerror or error}") from error
        return context


def _proxy(url: str) -> str:
    """The proxy that the environment names for this URL, empty for none. Loopback is never asked through one."""
    origin = Origin.of(url)
    if _is_loopback(origin.host) or proxy_bypass(origin.host):
        return ""
    return getproxies().get(origin.scheme, "")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
