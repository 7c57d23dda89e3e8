"""What takes a while to answer: it is made once for a crowd, and for nobody who has left."""

import threading
from contextlib import ExitStack

import pytest

from refresher.control.metrics import Metrics
from refresher.control.server import ControlServer
from refresher.state import AssetState
from tests.control.client import Client, everything_until_closed
from tests.fakes.sidecar import NOW, FakeSidecar, state
from tests.waiting import until


class Slow(FakeSidecar):
    """One that takes its time to say how an asset stands, until it is over."""

    def __init__(self) -> None:
        super().__init__(state("quick"), state("slow"))
        self.looks, self.over = 0, threading.Event()

    def state(self, asset: str) -> AssetState:
        if asset == "slow":
            self.looks += 1
            self.over.wait(30)
        return super().state(asset)


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz", "/assets"])
def test_a_crowd_gets_one_answer_and_who_has_left_gets_none_and_others_are_not_held_up(path: str) -> None:
    slow, ask = Slow(), f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    server = ControlServer(slow, Metrics(slow, notifiers={}), clock=lambda: NOW, listen="127.0.0.1:0")
    server.start()
    client = Client(server.addresses)
    with ExitStack() as crowd:
        waiting = [crowd.enter_context(client.socket())]
        waiting[0].sendall(ask)
        until(lambda: slow.looks == 1)
        for _ in range(30):
            with client.socket() as leaving:
                leaving.sendall(ask)
        for _ in range(30):
            waiting.append(crowd.enter_context(client.socket()))
            waiting[-1].sendall(ask)
        assert client.get("/livez").status == client.get("/assets/quick").status == 200
        slow.over.set()
        assert all(everything_until_closed(each).startswith(b"HTTP/1.1 200 ") for each in waiting)
    server.stop()
    assert slow.looks < 10


def test_whoever_asks_later_gets_what_is_true_by_then() -> None:
    sidecar = FakeSidecar(state("web"))
    server = ControlServer(sidecar, Metrics(sidecar, notifiers={}), clock=lambda: NOW, listen="127.0.0.1:0")
    server.start()
    client = Client(server.addresses)
    for number in (8, 9):
        sidecar.states["web"] = state("web", generation=number)
        assert client.get("/assets").json["assets"][0]["generation"] == number
        assert f'refresher_generation{{asset="web"}} {number}.0' in client.get("/metrics").body.decode()
    server.stop()
