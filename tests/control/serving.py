"""The real listeners, over a sidecar that a test made up."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from refresher.control.metrics import Metrics
from refresher.control.server import ControlServer
from tests.fakes.sidecar import NOW, FakeSidecar


@contextmanager
def served(sidecar: FakeSidecar, metrics: Metrics | None = None, **options: Any) -> Iterator[ControlServer]:
    """Started at `NOW`, on a free port, with the server's `options`; stopped when the context ends."""
    given = {"clock": lambda: NOW, "listen": "127.0.0.1:0", **options}
    server = ControlServer(sidecar, metrics or Metrics(sidecar, notifiers={}), **given)
    server.start()
    try:
        yield server
    finally:
        server.stop()
