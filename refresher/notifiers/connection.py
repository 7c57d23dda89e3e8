"""A connection that ends on time, however slowly the other side talks."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta


@contextlib.contextmanager
def connected(
    host: str,
    port: int,
    *,
    within: timedelta,
    tls: ssl.SSLContext | None = None,
    name: str | None = None,
    ask: Callable[[socket.socket], None] | None = None,
) -> Iterator[socket.socket]:
    """A connection, with TLS for `name` (or `host`) if there is a context, shut down after `within`. Raises OSError.

    `ask` is done before TLS begins; it may wait once for an answer, for `within` itself.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as opened:
        connection = opened.enter_context(socket.create_connection((host, port), within.total_seconds()))
        if ask is not None:
            ask(connection)
        if tls is not None:
            # The handshake comes later: it belongs to what may be cut off.
            wrapped = tls.wrap_socket(connection, server_hostname=name or host, do_handshake_on_connect=False)
            connection = opened.enter_context(wrapped)
        left = within.total_seconds() - (time.monotonic() - started)
        opened.enter_context(_cut_off(connection, left))
        if isinstance(connection, ssl.SSLSocket):
            connection.do_handshake()
        yield connection


@contextlib.contextmanager
def _cut_off(connection: socket.socket, after: float) -> Iterator[None]:
    """Shut the connection down if the context lasts longer, so that whoever waits for it sees it end.

    A socket's own timeout starts anew with each byte: one byte now and then would keep us for ever.
    """

    def shut() -> None:
        with contextlib.suppress(OSError):
            # The plain socket's: a TLS socket's shutdown takes its state away from the thread that is reading.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    timer = threading.Timer(max(after, 0), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
