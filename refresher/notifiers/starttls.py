"""Asking for TLS where a connection begins without it."""

import errno
import os
import socket
import struct

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""Its own length, and the number that stands for it: SSLRequest in PostgreSQL's documentation of its messages."""


def ask_postgres(connection: socket.socket) -> None:
    """Returns when the server is ready for a handshake. Raises OSError."""
    connection.sendall(SSL_REQUEST)
    # One byte, never more: what follows an S in clear text was put there by somebody else (CVE-2021-23222).
    if connection.recv(1) != b"S":
        raise OSError(errno.EPROTONOSUPPORT, os.strerror(errno.EPROTONOSUPPORT))


STARTTLS = {"postgres": ask_postgres}
