"""Whether a server can be reached, step by step: its name, a connection, TLS. For who wants to know which one fails."""

import socket
import ssl
from collections.abc import Callable, Generator
from datetime import datetime
from email.utils import parsedate_to_datetime

from providers.connections import Origin, proxy_of
from refresher.abilities import Observation

PATIENCE = 3.0
"""Seconds for each step, and for each answer of a diagnosis: who waits at a terminal wants to know, not to fetch."""
WRONG_NAME = frozenset({62, 64})
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
WRONG_TIME = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""

Steps = Generator[Observation, None, bool]
"""Observations; in the end, whether it goes on from there."""


def reached(url: str, *, context: Callable[[], ssl.SSLContext], server_name: str | None = None) -> Steps:
    """Find the address of the URL's host, connect, and look at its certificate; none of it through a proxy."""
    if proxy_of(url):
        yield Observation.skipped("connection", "it goes through a proxy, which finds the host and connects to it")
        return True
    origin = Origin.of(url)
    found = yield from _looked_up(origin)
    return found and (yield from _connected(origin, context, server_name))


def server_time(date: str | None) -> datetime | None:
    """What a Date header says (RFC 9110, 6.6.1), None if it is missing, or no moment."""
    try:
        found = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return found if found.tzinfo else None


def _looked_up(origin: Origin) -> Steps:
    try:
        found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except OSError as error:
        advice = "Correct the host's name, or let this pod's DNS know it (dnsPolicy, a NetworkPolicy for port 53)."
        yield Observation.fail("name", f"{origin.host} has no address: {error.strerror}", advice)
        return False
    yield Observation.ok("name", f"{origin.host} is {', '.join(sorted({str(each[4][0]) for each in found}))}")
    return True


def _connected(origin: Origin, context: Callable[[], ssl.SSLContext], server_name: str | None) -> Steps:
    where = f"port {origin.port} of {origin.host}"
    try:
        connection = socket.create_connection((origin.host, origin.port), PATIENCE)
    except OSError as error:
        seen = f"{where} accepts no connection{_within(error)}"
        yield Observation.fail(
            "connection", seen, "Start the server, or let a NetworkPolicy or firewall through to it."
        )
        return False
    with connection:
        yield Observation.ok("connection", f"{where} accepts connections")
        if origin.scheme == "https":
            return (yield from _trusted(connection, context(), server_name or origin.host))
    return True


def _trusted(connection: socket.socket, context: ssl.SSLContext, name: str) -> Steps:
    try:
        with context.wrap_socket(connection, server_hostname=name) as secured:
            ends = dict(secured.getpeercert() or {}).get("notAfter", "at a time that it doesn't say")
            yield Observation.ok("TLS", f"{secured.version()}, its certificate is trusted for {name} and ends {ends}")
            return True
    except ssl.SSLCertVerificationError as error:
        seen = f"the server's certificate is not trusted: {error.verify_message}"
        yield Observation.fail("TLS", seen, _advice(error.verify_code))
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
        yield Observation.fail(
            "TLS", f"no TLS connection{_within(error) or f': {reason}'}", "See whether TLS is spoken there."
        )
    return False


def _advice(code: int) -> str:
    if code in WRONG_NAME:
        return "Use a name that is in the certificate, in the address or, for Vault, as tls_server_name."
    if code in WRONG_TIME:
        return "Renew the server's certificate, or set this machine's clock right."
    return "Give the authority that signed it as ca_file."


def _within(error: OSError) -> str:
    """What is said of a connection that failed: that it took too long, or why it did."""
    if isinstance(error, TimeoutError):
        return f" within {PATIENCE:g} s"
    return f": {error.strerror}" if error.strerror else ""
