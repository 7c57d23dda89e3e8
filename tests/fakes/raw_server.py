"""A TCP server that answers every connection with bytes of the test's choice, as slowly as it likes."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

LINGERS = 2.0
"""Seconds for a client to close its side, too."""


@contextlib.contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address; `answer` is called with each connection after its request has arrived, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as open_:
        lock = threading.Lock()

        def one(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection:
                connection.recv(65536)
                answer(connection)
                # To close while a part of the request is unread, or still to come, resets the connection: the answer
                # may be lost with it.
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(LINGERS)
                while connection.recv(65536):
                    pass

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with lock:
                        open_.callback(connection.close)
                    threading.Thread(target=one, args=(connection,), daemon=True).start()

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            serving.join()  # before the descriptor is somebody else's, whose connections it would accept
