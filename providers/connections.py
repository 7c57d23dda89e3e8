"""Pooled HTTP connections: with a CA, a client certificate (read again when they change), the environment's proxies."""

import ssl
import threading
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from providers.deadline import PacedHttpPool, PacedHttpsPool
from refresher.errors import PermanentError

if TYPE_CHECKING:  # loaded by those who wait
    from providers.lifeline import Lifeline

POOLS = {"http": PacedHttpPool, "https": PacedHttpsPool}
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

    @property
    def is_secure(self) -> bool:
        """Whether there is TLS on the way. Asked of a URL's text, `HTTPS://` would not look like it."""
        return self.scheme == "https"

    def __str__(self) -> str:
        """`https://vault:8200`; the port always, so that two ways to write one server are one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


Facts = tuple[tuple[int, int, int], ...]
"""Inode, bytes and modification time of each certificate file: others mean that it was replaced."""


class Certificates(NamedTuple):
    """Whom to trust (None: the system's authorities), and what to show of oneself."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def facts(self) -> Facts:
        """What the files are at this moment. Raises PermanentError if one isn't there."""
        try:
            found = [path.stat() for path in self if path]
        except OSError as error:
            raise PermanentError(f"the certificate file {error.filename} can't be read: {error.strerror}") from error
        return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in found)

    def context(self) -> ssl.SSLContext:
        """A new context with the files' content. Raises PermanentError if they can't be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (ssl.SSLError, OSError) as error:
            raise PermanentError(f"the certificate files can't be used: {error.strerror or error}") from error
        return context


class Contexts:
    """One TLS context for all sources with the same certificates: each costs a megabyte and 30 ms of processor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contexts: dict[Certificates, tuple[Facts, ssl.SSLContext]] = {}

    def context(self, certificates: Certificates) -> ssl.SSLContext:
        """The context with what the files hold now. Raises PermanentError."""
        with self._lock:
            facts = certificates.facts()
            known = self._contexts.get(certificates)
            if known is None or known[0] != facts:
                known = self._contexts[certificates] = (facts, certificates.context())
            return known[1]


class _Reach(NamedTuple):
    """What connections of one pool have in common."""

    proxy: str
    secure: bool
    with_certificate: bool


class Connections:
    """Asks over pooled connections. The login's certificate is presented only where the caller says so.

    `lifeline`: what can cut them off.
    """

    def __init__(
        self,
        certificates: Certificates,
        *,
        contexts: Contexts,
        timeout: urllib3.Timeout,
        lifeline: "Lifeline | None" = None,
    ) -> None:
        self._certificates, self._contexts, self._timeout = certificates, contexts, timeout
        self._classes = lifeline.pools() if lifeline else POOLS
        self._lock = threading.Lock()
        self._facts: Facts = ()
        self._pools: dict[_Reach, urllib3.PoolManager] = {}

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
        if secure := Origin.of(url).is_secure:
            self._forget_outdated()
        reach = _Reach(proxy_of(url), secure, with_certificate=secure and with_certificate)
        with self._lock:
            if reach not in self._pools:
                self._pools[reach] = self._made(reach)
            return self._pools[reach]

    def _forget_outdated(self) -> None:
        """Let go of connections that were made with other certificates than there are now."""
        facts = self._certificates.facts()
        if facts != self._facts:
            self.close()
            self._facts = facts

    def _made(self, reach: _Reach) -> urllib3.PoolManager:
        shape: dict[str, Any] = {"timeout": self._timeout, "maxsize": CONNECTIONS}
        if reach.secure:
            shape["ssl_context"] = self._context(with_certificate=reach.with_certificate)
        pool = self._through(reach, shape) if reach.proxy else urllib3.PoolManager(**shape)
        pool.pool_classes_by_scheme = dict(self._classes)
        return pool

    def _context(self, *, with_certificate: bool) -> ssl.SSLContext:
        shown = self._certificates if with_certificate else Certificates(self._certificates.ca_file)
        return self._contexts.context(shown)

    def _through(self, reach: _Reach, shape: dict[str, Any]) -> urllib3.PoolManager:
        # Not an `Origin`: whatever is no URL is refused below, without being shown.
        if reach.proxy.lower().startswith("https:"):
            # Neither the source's authorities nor its login are the proxy's business.
            shape["proxy_ssl_context"] = self._contexts.context(Certificates())
            shape.setdefault("ssl_context", shape["proxy_ssl_context"])
        try:
            return urllib3.ProxyManager(reach.proxy, proxy_headers=_proxy_login(reach.proxy), **shape)
        except ValueError:
            # urllib3's message quotes the URL, with the password in it.
            raise PermanentError("the proxy that the environment names is no http:// or https:// URL") from None


def _proxy_login(proxy: str) -> dict[str, str] | None:
    parts = urlsplit(proxy)
    if parts.username is None:
        return None
    return dict(urllib3.make_headers(proxy_basic_auth=unquote(f"{parts.username}:{parts.password or ''}")))


def proxy_of(url: str) -> str:
    """The proxy that the environment names for this URL, empty for none. Loopback is never asked through one."""
    origin = Origin.of(url)
    if _is_loopback(origin.host) or proxy_bypass(origin.host):
        return ""
    proxy = getproxies().get(origin.scheme, "")
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
