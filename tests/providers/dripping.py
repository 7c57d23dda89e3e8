import socket
from collections.abc import Callable


def dripping(begin: bytes, drip: bytes) -> Callable[[socket.socket], None]:
    """An answer whose bytes after `begin` come one by one, each well before the read timeout, for ever."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(begin)
        connection.settimeout(0.1)
        while True:
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                connection.sendall(drip)

    return answer
