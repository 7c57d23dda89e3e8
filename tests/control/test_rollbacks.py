import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from refresher.control.rollbacks import Rollbacks
from refresher.errors import PermanentError, TransientError
from refresher.options import Secret
from tests.control.client import Client
from tests.control.serving import served
from tests.fakes.sidecar import FakeSidecar, state
from tests.waiting import until

TOKEN = {"Authorization": "Bearer opensesame"}


class SlowSidecar(FakeSidecar):
    """Follows the source again when the test says so."""

    def __init__(self) -> None:
        super().__init__(state("web-tls"))
        self.wish: Future[None] = Future()

    def unpin(self, asset: str) -> Future[None]:
        super().unpin(asset)
        return self.wish


@pytest.fixture
def guarded(serve: Callable[..., Client], tmp_path: Path) -> Client:
    (tmp_path / "token").write_text("opensesame")
    return serve(token=Secret(file=tmp_path / "token"))


def test_an_earlier_generation_is_put_back_with_the_token(guarded: Client, sidecar: FakeSidecar) -> None:
    reply = guarded.post("/rollback/web-tls?to=6", TOKEN)
    assert (reply.status, reply.json["asset"]) == (200, "web-tls")
    assert guarded.post("/rollback/web-tls", TOKEN).status == 200
    assert guarded.post("/unpin/web-tls", TOKEN).status == 200
    assert sidecar.by_hand == [("go back", "web-tls", 6), ("go back", "web-tls", None), ("unpin", "web-tls", None)]


@pytest.mark.parametrize("path", ["/rollback/web-tls", "/unpin/web-tls"])
def test_nobody_goes_back_on_loopback_without_a_token(
    client: Client, guarded: Client, sidecar: FakeSidecar, path: str
) -> None:
    assert "control.token" in client.post(path).problem()["detail"]
    assert client.post(path, TOKEN).status == 403
    assert guarded.post(path).status == 401
    assert sidecar.by_hand == []


def test_the_unix_socket_needs_no_token(serve: Callable[..., Client], tmp_path: Path, sidecar: FakeSidecar) -> None:
    assert serve(listen=f"unix:{tmp_path}/control.sock").post("/unpin/model").status == 200
    assert sidecar.by_hand == [("unpin", "model", None)]


def test_what_cannot_be_put_back_is_a_conflict_and_what_cannot_now_is_unavailable(
    guarded: Client, sidecar: FakeSidecar
) -> None:
    sidecar.refuses = PermanentError("generation 3 is not kept")
    assert guarded.post("/rollback/web-tls?to=3", TOKEN).problem()["detail"] == "generation 3 is not kept"
    assert guarded.post("/rollback/web-tls?to=3", TOKEN).status == 409
    sidecar.refuses = TransientError("another refresher is writing")
    assert guarded.post("/unpin/web-tls", TOKEN).status == 503


@pytest.mark.parametrize("query", ["?to=x", "?to=-1", "?to=", "?from=1", f"?to={'9' * 30}"])
def test_a_parameter_that_makes_no_sense_is_refused(guarded: Client, sidecar: FakeSidecar, query: str) -> None:
    assert guarded.post(f"/rollback/web-tls{query}", TOKEN).status == 400
    assert sidecar.by_hand == []


def test_an_unknown_asset_is_not_found(guarded: Client) -> None:
    assert guarded.post("/rollback/other", TOKEN).status == 404
    assert guarded.post("/unpin/other", TOKEN).status == 404


def test_a_wish_that_takes_too_long_is_504_and_goes_on() -> None:
    sidecar = SlowSidecar()
    call = Request({"type": "http", "path_params": {"asset": "web-tls"}, "query_string": b"", "headers": []})
    with pytest.raises(HTTPException, match="goes on") as refused:
        asyncio.run(Rollbacks(sidecar, wait=timedelta(milliseconds=20)).unpin(call))
    assert refused.value.status_code == 504
    sidecar.wish.set_result(None)


def test_a_wish_outlives_the_server_that_it_came_through(tmp_path: Path) -> None:
    sidecar = SlowSidecar()
    with served(sidecar, listen=f"unix:{tmp_path}/control.sock") as server, ThreadPoolExecutor() as pool:
        waiting = pool.submit(Client(server.addresses).post, "/unpin/web-tls")
        until(lambda: sidecar.by_hand)
        server.stop()
        assert isinstance(waiting.exception(timeout=10), ConnectionError)
    sidecar.wish.set_result(None)


def test_a_wish_is_answered_once_it_is_done(tmp_path: Path) -> None:
    sidecar = SlowSidecar()
    with served(sidecar, listen=f"unix:{tmp_path}/control.sock") as server, ThreadPoolExecutor() as pool:
        waiting = pool.submit(Client(server.addresses).post, "/unpin/web-tls")
        until(lambda: sidecar.by_hand)
        sidecar.wish.set_exception(TransientError("another refresher is writing"))
        assert waiting.result(timeout=10).problem()["detail"] == "another refresher is writing"
