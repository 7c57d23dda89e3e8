from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from refresher.control.metrics import Metrics
from tests.control.client import Client
from tests.control.serving import served
from tests.fakes.sidecar import FakeSidecar, state


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
            return Client(servers.enter_context(served(sidecar, metrics, **options)).addresses)

        yield start


@pytest.fixture
def client(serve: Callable[..., Client]) -> Client:
    return serve()
