import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from refresher.model import Result
from refresher.ratelimit import RateLimit
from refresher.state import NoSuchAssetError
from refresher.traffic import Transfer
from tests.control.client import Client
from tests.control.serving import served
from tests.fakes.sidecar import NOW, FakeRequest, FakeSidecar, outcome, state
from tests.waiting import until

FIELDS = {
    "asset", "result", "generation", "revision", "digest", "files", "published_at", "expires_at", "next_refresh_at",
    "why_next", "notified_generation", "refused", "pinned", "error",
}  # fmt: skip
PROBLEM = {"type", "title", "status", "detail"}


def test_a_published_refresh_is_200_with_the_asset_as_it_stands(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.ends["web-tls"] = outcome("web-tls")
    reply = client.post("/refresh/web-tls")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == {
        "asset": "web-tls",
        "result": "published",
        "generation": 7,
        "revision": "3a:91",
        "digest": "sha256:aa",
        "files": {"tls.crt": "sha256:bb"},
        "published_at": "2026-11-22T09:00:00Z",
        "expires_at": "2026-11-23T09:00:00Z",
        "next_refresh_at": "2026-11-23T00:10:00Z",
        "why_next": "renewal",
        "notified_generation": 7,
        "refused": None,
        "pinned": False,
        "error": None,
    }


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Result.UNCHANGED, 200),
        (Result.REJECTED, 422),
        (Result.ROLLED_BACK, 422),
        (Result.FAILED, 502),
    ],
)
def test_how_a_refresh_ended_is_its_status(client: Client, sidecar: FakeSidecar, result: Result, status: int) -> None:
    error = None if status == 200 else "the source said no"
    sidecar.ends["web-tls"] = outcome("web-tls", result, error=error)
    reply = client.post("/refresh/web-tls")
    assert reply.status == status
    assert reply.json["result"] == result
    assert reply.json["error"] == error
    if status != 200:
        assert set(reply.problem()) == FIELDS | PROBLEM
        assert reply.problem()["detail"] == error


def test_what_a_refresh_says_is_its_own_end_and_not_the_one_before(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.states["web-tls"] = state("web-tls", result=Result.FAILED, error="an older one")
    sidecar.ends["web-tls"] = outcome("web-tls", Result.UNCHANGED)
    reply = client.post("/refresh/web-tls")
    assert (reply.json["result"], reply.json["error"]) == ("unchanged", None)


def test_a_refresh_that_takes_too_long_is_504_and_goes_on(client: Client, sidecar: FakeSidecar) -> None:
    reply = client.post("/refresh/web-tls?timeout=50ms")
    assert reply.status == 504
    assert "goes on" in reply.problem()["detail"]
    assert reply.json["result"] is None
    assert not sidecar.running["web-tls"].visible.cancelled()
    sidecar.running["web-tls"].visible.set_result(outcome("web-tls"))
    assert client.post("/refresh/web-tls?wait=false").status == 202


def test_not_waiting_is_202_at_once_and_asks_all_the_same(client: Client, sidecar: FakeSidecar) -> None:
    reply = client.post("/refresh/web-tls?wait=false")
    assert reply.status == 202
    assert set(reply.json) == FIELDS
    assert reply.json["result"] is None
    assert sidecar.refreshes == 1


def test_until_told_waits_for_the_telling_and_others_do_not(client: Client, sidecar: FakeSidecar) -> None:
    with ThreadPoolExecutor() as pool:
        patient = pool.submit(client.post, "/refresh/web-tls?until=told")
        quick = pool.submit(client.post, "/refresh/web-tls")
        until(lambda: sidecar.asked == 2)
        request = sidecar.running["web-tls"]
        request.visible.set_result(outcome("web-tls"))
        assert quick.result(timeout=10).status == 200
        assert not patient.done()
        request.told.set_result(True)
        assert patient.result(timeout=10).status == 200


@pytest.mark.parametrize(("heard", "status"), [(True, 200), (False, 502)])
def test_until_told_says_whether_all_have_heard(client: Client, sidecar: FakeSidecar, heard: bool, status: int) -> None:
    sidecar.ends["web-tls"], sidecar.heard = outcome("web-tls"), heard
    reply = client.post("/refresh/web-tls?until=told")
    assert (reply.status, reply.json["result"]) == (status, "published")
    assert client.post("/refresh/web-tls").status == 200


def test_a_telling_that_takes_too_long_is_504_with_its_result(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.ends["web-tls"] = outcome("web-tls")
    reply = client.post("/refresh/web-tls?until=told&timeout=50ms")
    assert (reply.status, reply.json["result"]) == (504, "published")
    assert "not told" in reply.problem()["detail"]


def test_a_failed_refresh_has_nothing_to_tell_and_is_not_waited_for(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.ends["web-tls"] = outcome("web-tls", Result.FAILED, error="down")
    assert client.post("/refresh/web-tls?until=told").status == 502


def test_several_are_200_when_all_are_well(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.ends = {"web-tls": outcome("web-tls"), "model": outcome("model", Result.UNCHANGED)}
    reply = client.post("/refresh")
    assert reply.status == 200
    assert [(each["asset"], each["result"], each["status"]) for each in reply.json["assets"]] == [
        ("web-tls", "published", 200),
        ("model", "unchanged", 200),
    ]
    assert set(reply.json["assets"][0]) == FIELDS | {"status"}


def test_several_are_as_bad_as_the_worst_and_all_are_listed(serve: Callable[..., Client], sidecar: FakeSidecar) -> None:
    endings = {"well": Result.PUBLISHED, "rejected": Result.REJECTED, "failed": Result.FAILED}
    sidecar.states = {name: state(name) for name in ("often", *endings, "slow")}
    sidecar.ends = {name: outcome(name, result) for name, result in endings.items()}
    sidecar.ends["often"] = outcome("often")
    limit = RateLimit(burst=4, per_second=1, clock=lambda: 0.0)
    limit.spend("often")
    client = serve(limit=limit)
    for _ in range(3):
        assert client.post("/refresh/often").status == 200

    def status_without(*gone: str) -> int:
        for name in gone:
            del sidecar.states[name]
        reply = client.post("/refresh?timeout=50ms")
        assert [each["asset"] for each in reply.json["assets"]] == list(sidecar.states)
        return reply.status

    assert status_without() == 504
    assert status_without("slow") == 502
    assert status_without("failed") == 422
    last = client.post("/refresh?wait=false")
    assert last.status == 429
    del sidecar.states["rejected"]
    reply = client.post("/refresh")
    assert (reply.status, reply.headers["retry-after"]) == (429, "1")
    assert "often" in reply.problem()["detail"]


def test_not_waiting_for_several_is_202(client: Client) -> None:
    assert client.post("/refresh?wait=false").status == 202


def test_no_assets_are_all_well(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.states = {}
    assert client.post("/refresh").json == {"assets": []}


def test_the_eleventh_refresh_of_an_asset_in_a_moment_is_429_with_retry_after(
    serve: Callable[..., Client], sidecar: FakeSidecar
) -> None:
    now = 0.0
    client = serve(limit=RateLimit(burst=10, per_second=1, clock=lambda: now))
    sidecar.ends = {name: outcome(name) for name in sidecar.states}
    assert [client.post("/refresh/web-tls").status for _ in range(10)] == [200] * 10
    reply = client.post("/refresh/web-tls")
    assert (reply.status, reply.headers["retry-after"]) == (429, "1")
    assert reply.problem()["result"] is None
    assert client.post("/refresh/model").status == 200
    now = 1.0
    assert client.post("/refresh/web-tls").status == 200
    assert client.post("/refresh/web-tls").status == 429


def test_sharing_a_refresh_that_runs_is_free_though_no_other_could_be_asked_for(
    serve: Callable[..., Client], sidecar: FakeSidecar
) -> None:
    client = serve(limit=RateLimit(burst=1, per_second=1, clock=lambda: 0.0))
    assert [client.post("/refresh/web-tls?wait=false").status for _ in range(3)] == [202] * 3
    with ThreadPoolExecutor() as pool:
        shared = pool.submit(client.post, "/refresh/web-tls")
        until(lambda: sidecar.asked == 4)
        sidecar.running["web-tls"].visible.set_result(outcome("web-tls"))
        assert shared.result(timeout=10).status == 200
    assert client.post("/refresh/web-tls").status == 429
    assert sidecar.refreshes == 1


def test_two_hundred_clients_wait_for_one_refresh(client: Client, sidecar: FakeSidecar) -> None:
    before = threading.active_count()
    with ThreadPoolExecutor(max_workers=200) as pool:
        replies = [pool.submit(client.post, "/refresh/web-tls") for _ in range(200)]
        until(lambda: sidecar.asked == 200)
        assert threading.active_count() - before <= 200, "the server has no thread for each client"
        sidecar.running["web-tls"].visible.set_result(outcome("web-tls"))
        assert {reply.result(timeout=10).status for reply in replies} == {200}
    assert sidecar.refreshes == 1


@pytest.mark.parametrize(
    "parameters",
    ["until=heard", "wait=maybe", "wait=", "timeout=60", "timeout=soon", "timeout=9999999999999999d", "untill=told"],
)
def test_a_parameter_that_means_nothing_is_400_and_nothing_is_asked(
    client: Client, sidecar: FakeSidecar, parameters: str
) -> None:
    for path in ("/refresh", "/refresh/web-tls"):
        reply = client.post(f"{path}?{parameters}")
        assert reply.status == 400
        reply.problem()
    assert sidecar.asked == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/refresh/other", 404),
        ("GET", "/assets/other", 404),
        ("GET", "/assets/", 404),
        ("GET", "/nothing", 404),
        ("GET", "/refresh", 405),
        ("PUT", "/assets", 405),
        ("DELETE", "/assets/web-tls", 405),
    ],
)
def test_what_is_not_there_is_a_problem_document(client: Client, method: str, path: str, status: int) -> None:
    reply = client.ask(method, path)
    assert reply.status == status
    assert "other" not in reply.problem()["detail"]
    assert ("allow" in reply.headers) == (status == 405)


def test_the_assets_are_listed_with_how_they_stand(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.states["model"] = state("model", result=Result.FAILED, error="no such bucket", expires_at=None)
    assets = client.get("/assets").json["assets"]
    assert [each["asset"] for each in assets] == ["web-tls", "model"]
    assert [set(each) for each in assets] == [FIELDS | {"transfer", "endpoint"}] * 2
    assert (assets[1]["result"], assets[1]["error"], assets[1]["expires_at"]) == ("failed", "no such bucket", None)


def test_one_asset_comes_with_its_history_oldest_first(client: Client, sidecar: FakeSidecar) -> None:
    history = tuple(outcome("web-tls", generation=n, finished_at=NOW + timedelta(seconds=n)) for n in range(3))
    sidecar.states["web-tls"] = state("web-tls", history=history, consecutive_failures=3)
    asset = client.get("/assets/web-tls").json
    assert set(asset) == FIELDS | {
        "transfer",
        "endpoint",
        "last_attempt_at",
        "last_success_at",
        "consecutive_failures",
        "history",
    }
    assert asset["last_success_at"] == asset["last_attempt_at"] == "2026-11-22T09:00:00Z"
    assert asset["consecutive_failures"] == 3
    assert [each["generation"] for each in asset["history"]] == [0, 1, 2]
    assert asset["history"][-1]["finished_at"] == "2026-11-22T09:00:02Z"


@pytest.mark.parametrize("expected", [4096, None])
def test_what_is_on_its_way_is_shown_with_its_speed(client: Client, sidecar: FakeSidecar, expected: int | None) -> None:
    assert client.get("/assets/web-tls").json["transfer"] is None
    transfer = Transfer(received=1024, expected=expected, seconds=2.04, rate=501.9)
    sidecar.states["web-tls"] = state("web-tls", transfer=transfer)
    shown = {"received": 1024, "expected": expected, "seconds": 2.0, "bytes_per_second": 502}
    assert client.get("/assets/web-tls").json["transfer"] == shown
    assert [each["transfer"] for each in client.get("/assets").json["assets"]] == [shown, None]


def test_the_index_lists_the_calls_that_there_are(client: Client) -> None:
    calls = client.get("/", {"accept": "application/json"}).json["calls"]
    for call in calls:
        method, path = call.split()
        path = re.sub(r"\{asset\}", "web-tls", path)
        by_hand = path.startswith(("/rollback", "/unpin"))
        reply = client.ask(method, f"{path}{'?wait=false' * path.startswith('/refresh')}")
        assert reply.status == 403 if by_hand else reply.status in (200, 202)


def test_a_bug_is_500_and_its_text_stays_in_the_log(
    client: Client, sidecar: FakeSidecar, caplog: pytest.LogCaptureFixture
) -> None:
    sidecar.states["web-tls"] = "not a state of s3cret"  # type: ignore[assignment]
    reply = client.get("/assets/web-tls")
    assert reply.status == 500
    assert "str" not in reply.problem()["detail"]
    assert until(lambda: "AttributeError" in caplog.text)


def test_every_answer_says_when_it_was_made_and_is_not_kept(client: Client) -> None:
    for reply in (client.get("/assets"), client.get("/nothing"), client.get("/assets", {"Host": "evil.example"})):
        assert reply.headers["date"].endswith("GMT")
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "server" not in reply.headers


class Vanishing(FakeSidecar):
    """One whose configuration loses an asset while somebody asks for it."""

    def request(self, asset: str) -> FakeRequest:
        if asset == "model":
            self.states.pop(asset, None)
            raise NoSuchAssetError(asset)
        return super().request(asset)


@pytest.fixture
def vanishing() -> Iterator[Client]:
    sidecar = Vanishing(state("web-tls"), state("model"))
    sidecar.ends["web-tls"] = outcome("web-tls")
    with served(sidecar) as server:
        yield Client(server.addresses)


def test_an_asset_that_is_taken_out_while_it_is_asked_for_is_404(vanishing: Client) -> None:
    reply = vanishing.post("/refresh/model")
    assert (reply.status, reply.problem()["detail"]) == (404, "there is no such asset; GET /assets lists them")


def test_of_several_one_that_is_taken_out_meanwhile_is_left_out(vanishing: Client) -> None:
    reply = vanishing.post("/refresh")
    assert (reply.status, [each["asset"] for each in reply.json["assets"]]) == (200, ["web-tls"])


def test_the_list_says_how_the_configuration_stands(client: Client, sidecar: FakeSidecar) -> None:
    well = client.get("/assets").json["configuration"]
    assert well == {"valid": True, "problems": [], "loaded_at": "2026-11-22T09:00:00Z", "restart_needed": []}
    sidecar.valid, sidecar.fixed = False, ("control.listen",)
    unwell = client.get("/assets").json["configuration"]
    assert unwell["valid"] is False
    assert unwell["problems"] == ["assets.web: is not a known key"]
    assert unwell["restart_needed"] == ["control.listen"]


def test_an_asset_that_was_taken_out_and_comes_back_begins_anew(
    serve: Callable[..., Client], sidecar: FakeSidecar
) -> None:
    sidecar.ends = {name: outcome(name) for name in sidecar.states}
    client = serve(limit=RateLimit(burst=2, per_second=1, clock=lambda: 0.0))
    asked = ["model", "model", "model", "web-tls"]
    assert [client.post(f"/refresh/{name}").status for name in asked] == [200, 200, 429, 200]
    model = sidecar.states.pop("model")
    assert client.post("/refresh/web-tls").status == 200
    sidecar.states["model"] = model
    assert client.post("/refresh/model").status == 200
