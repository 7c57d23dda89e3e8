"""Where a listener listens: reading the address, and a socket that nobody enters early or takes the place of."""

import socket
import stat
from contextlib import suppress
from pathlib import Path

from refresher.address import Address, Tcp, Unix, parse_address
from refresher.control.guards import is_loopback
from refresher.errors import ConfigError

BACKLOG = 512
"""Connections that the kernel holds until they are accepted; one more is asked to come again a second later."""
RECEIVED = 16 * 1024
"""Bytes that the kernel holds of a connection until they are read; Linux doubles it for its own needs (socket(7)).
500 connections that sent requests without end and read nothing brought a sidecar from 51 to 68 MiB, and to 117 without.
"""
STALLED = 10_000
"""Milliseconds before the kernel drops a connection whose other end takes nothing in (tcp(7), TCP_USER_TIMEOUT)."""


class Door:
    """An open socket that listens, and where it is.

    `key` is the configuration's key, for messages. Raises ConfigError if the address can't be used.
    """

    def __init__(self, written: str, *, key: str) -> None:
        try:
            self.where = parse_address(written)
            self.socket = _open(self.where)
        except ValueError as error:
            raise ConfigError(f"{key}: {written}: {error}") from error
        except OSError as error:
            raise ConfigError(f"{key}: can't listen on {written}: {error.strerror or error}") from error

    @property
    def address(self) -> str:
        """What to connect to, the port that the system chose included."""
        if isinstance(self.where, Unix):
            return f"unix:{self.where.path}"
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def exposed(self) -> bool:
        """Whether others than this pod can connect: anything but a Unix socket and loopback."""
        if isinstance(self.where, Unix):
            return False
        return not is_loopback(self.socket.getsockname()[0])

    def leave(self) -> None:
        """Take the path away. To be done before the socket is closed: after that, the path could be a successor's."""
        if isinstance(self.where, Unix):
            with suppress(OSError):
                self.where.path.unlink()

    def close(self) -> None:
        """Stop listening."""
        self.leave()
        self.socket.close()


def _open(where: Address) -> socket.socket:
    return _open_unix(where.path) if isinstance(where, Unix) else _open_tcp(where)


def _open_tcp(where: Tcp) -> socket.socket:
    family, *_, address = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    listener = socket.create_server(address, family=family, backlog=BACKLOG)
    # Connections inherit all three. asyncio sets the first only on sockets made with an explicit protocol; without it,
    # an answer's body waits 40 ms for the acknowledgement of its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED)
    # Or each connection may leave 256 KiB of requests in our memory, and as much in the kernel's.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
    return listener


def _open_unix(path: Path) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)  # before listen, so that nobody else ever gets in
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket that a crash left behind, on which nobody answers. Raises ValueError if it is anything else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ValueError("is there already, and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ValueError("is there already, and somebody answers on it")
