"""A server's side of TLS on loopback, as an authority of the test's would have it."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.certificates import Authority


def server_context(directory: Path) -> ssl.SSLContext:
    """For 127.0.0.1, with a certificate of an authority whose root is in the directory's `ca.pem`."""
    now = datetime.now(UTC)
    lasting = {"since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}
    authority = Authority.root(**lasting)
    leaf = authority.issue("127.0.0.1", **lasting)
    (directory / "ca.pem").write_bytes(authority.pem)
    (directory / "leaf.pem").write_bytes(leaf.key_pem + leaf.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "leaf.pem")
    return context
