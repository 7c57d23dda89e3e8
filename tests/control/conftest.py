from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from refresher.control.metrics import Metrics
from refresher.control.server import ControlServer
from tests.control.client import Client
from tests.fakes.sidecar import NOW, FakeSidecar, state


@pytest.fixture
def sidecar() -> FakeSidecar:
    return FakeSidecar(state("web-tls"), state("model"))


@pytest.fixture
def metrics(sidecar: FakeSidecar) -> Metrics:
    return Metrics(sidecar, notifiers={"web-tls": ["http", "marker"], "model": []})


@pytest.fixture
def serve(sidecar: FakeSidecar, metrics: Metrics) -> Iterator[Callable[..., Client]]:
    """Starts a server with the options given, and answers a client of its control listener."""
    with ExitStack() as servers:

        def start(**options: object) -> Client:
            options = {"listen": "127.0.0.1:0", "clock": lambda: NOW} | options
            server = ControlServer(sidecar, metrics, **options)  # type: ignore[arg-type]
            server.start()
            servers.callback(server.stop)
            return Client(server.addresses)

        yield start


@pytest.fixture
def client(serve: Callable[..., Client]) -> Client:
    return serve()
