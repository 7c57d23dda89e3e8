"""TLS clients inside of a pod that connect all the time."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from refresher.demo.tls_client import TlsClient


class Crowd:
    """What several clients saw."""

    def __init__(self, clients: list[TlsClient]) -> None:
        self._clients = clients
        self._seen: list[list[str]] = [[] for _ in clients]

    @classmethod
    @contextmanager
    def connecting(cls, pod: Any, port: int, *, clients: int, name: str, roots: Path) -> Iterator["Crowd"]:
        """That many, until the context ends; each makes up to a hundred handshakes a second."""
        made = [TlsClient(port, name=name, roots=roots) for _ in range(clients)]
        with ExitStack() as stack:
            for client in made:
                # A thread that is started inside of the pod's network stays there.
                pod.in_netns(lambda client=client: stack.enter_context(client.connecting()))
            yield cls(made)

    @property
    def handshakes(self) -> int:
        """How many were begun."""
        return sum(client.handshakes for client in self._clients)

    @property
    def failures(self) -> list[str]:
        """Why some failed."""
        return [failure for client in self._clients for failure in client.failures]

    def everybody_sees(self, serial: str) -> bool:
        """Whether this is the certificate that each client saw last."""
        return all(serials[-1:] == [serial] for serials in self.seen())

    def seen(self) -> list[list[str]]:
        """The serial numbers in the order in which each client saw them."""
        for client, serials in zip(self._clients, self._seen, strict=True):
            while sighting := client.sighting():
                serials.append(sighting.serial)
        return self._seen
