from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from refresher.control.metrics import Metrics
from refresher.model import Result
from refresher.state import Trigger
from refresher.traffic import Transfer
from tests.control.client import Client
from tests.fakes.sidecar import AWAY, NOW, FakeSidecar, outcome, state

NAMES = {
    "refresher_refreshes_total": {"asset", "result"},
    "refresher_refresh_duration_seconds_bucket": {"asset", "step", "le"},
    "refresher_last_success_timestamp_seconds": {"asset"},
    "refresher_last_publish_timestamp_seconds": {"asset"},
    "refresher_expiry_timestamp_seconds": {"asset"},
    "refresher_renewal_timestamp_seconds": {"asset"},
    "refresher_next_refresh_timestamp_seconds": {"asset"},
    "refresher_ready": {"asset"},
    "refresher_required": {"asset"},
    "refresher_generation": {"asset"},
    "refresher_notified_generation": {"asset"},
    "refresher_notifications_total": {"asset", "notifier", "result"},
    "refresher_fetched_bytes_total": {"asset"},
    "refresher_triggers_total": {"asset", "trigger"},
    "refresher_consecutive_failures": {"asset"},
    "refresher_transfer_bytes": {"asset"},
    "refresher_transfer_expected_bytes": {"asset"},
    "refresher_endpoint_circuit_open": {"endpoint"},
    "refresher_config_valid": set(),
    "refresher_config_last_reload_success_timestamp_seconds": set(),
    "refresher_build_info": {"version"},
}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def value(text: str, name: str, **labels: str) -> float | None:
    return next((number for found, has, number in samples(text) if (found, has) == (name, labels)), None)


def test_livez_follows_the_heart(client: Client, sidecar: FakeSidecar) -> None:
    assert client.get("/livez").json == {"alive": True}
    sidecar.beats = False
    reply = client.get("/livez")
    assert reply.status == 503
    reply.problem()


def test_readyz_is_200_when_all_required_assets_are_ready(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.states["model"] = state("model", required=False, ready=False, generation=None)
    assert client.get("/readyz").json == {"ready": True}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"generation": None}, "nothing is published yet"),
        ({"expires_at": NOW}, "generation 7 expired at 2026-11-22T09:00:00Z"),
        (
            {"last_success_at": NOW - timedelta(hours=1)},
            "stale: the last successful look at the source was at 2026-11-22T08:00:00Z",
        ),
        ({"last_success_at": None}, "stale: no look at the source has succeeded yet"),
    ],
)
def test_readyz_says_which_asset_is_not_ready_and_why(
    client: Client, sidecar: FakeSidecar, facts: dict[str, object], reason: str
) -> None:
    sidecar.states["web-tls"] = state("web-tls", ready=False, **facts)
    reply = client.get("/readyz")
    assert reply.status == 503
    assert reply.problem()["assets"] == [{"asset": "web-tls", "reason": reason}]
    assert reply.problem()["detail"] == f"web-tls: {reason}"


def test_every_metric_is_there_with_its_labels(
    serve: Callable[..., Client], metrics: Metrics, sidecar: FakeSidecar
) -> None:
    sidecar.states["web-tls"] = state("web-tls", renewal_at=NOW, endpoint=AWAY)
    metrics.observe(outcome("web-tls", steps={"fetch": 0.2}))
    reply = serve(probes="127.0.0.1:0").probes().get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    text = reply.body.decode()
    found = {name: set(labels) for name, labels, _ in samples(text)}
    assert found == NAMES | {
        "refresher_refresh_duration_seconds_sum": {"asset", "step"},
        "refresher_refresh_duration_seconds_count": {"asset", "step"},
    }


def test_what_can_be_known_starts_at_zero(metrics: Metrics) -> None:
    text = metrics.text().decode()
    for asset in ("web-tls", "model"):
        assert value(text, "refresher_fetched_bytes_total", asset=asset) == 0
        for step in ("fetch", "stage", "verify", "publish"):
            assert value(text, "refresher_refresh_duration_seconds_count", asset=asset, step=step) == 0
        for result in Result:
            assert value(text, "refresher_refreshes_total", asset=asset, result=result) == 0
    for notifier in ("http", "marker"):
        for telling in ("told", "failed", "rejected"):
            labels = {"asset": "web-tls", "notifier": notifier, "result": telling}
            assert value(text, "refresher_notifications_total", **labels) == 0


def test_outcomes_and_tellings_are_counted(metrics: Metrics) -> None:
    metrics.observe(outcome("web-tls", fetched_bytes=100, steps={"fetch": 0.2, "publish": 0.01}))
    metrics.observe(outcome("web-tls", Result.FAILED, fetched_bytes=11, steps={"fetch": 2.0}))
    metrics.observe_telling("web-tls", "http", "told")
    text = metrics.text().decode()
    assert value(text, "refresher_refreshes_total", asset="web-tls", result="published") == 1
    assert value(text, "refresher_refreshes_total", asset="web-tls", result="failed") == 1
    assert value(text, "refresher_fetched_bytes_total", asset="web-tls") == 111
    assert value(text, "refresher_refresh_duration_seconds_count", asset="web-tls", step="fetch") == 2
    assert value(text, "refresher_refresh_duration_seconds_sum", asset="web-tls", step="fetch") == 2.2
    assert value(text, "refresher_notifications_total", asset="web-tls", notifier="http", result="told") == 1


def test_a_telling_that_ends_like_none_is_an_error(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="told, failed, rejected"):
        metrics.observe_telling("web-tls", "http", "perhaps")


def test_gauges_are_read_when_they_are_asked_for(metrics: Metrics, sidecar: FakeSidecar) -> None:
    sidecar.states["web-tls"] = state("web-tls", generation=9, notified_generation=8, consecutive_failures=3)
    sidecar.valid = False
    text = metrics.text().decode()
    assert value(text, "refresher_generation", asset="web-tls") == 9
    assert value(text, "refresher_notified_generation", asset="web-tls") == 8
    assert value(text, "refresher_consecutive_failures", asset="web-tls") == 3
    assert value(text, "refresher_ready", asset="web-tls") == 1
    assert value(text, "refresher_required", asset="web-tls") == 1
    assert value(text, "refresher_expiry_timestamp_seconds", asset="web-tls") == NOW.replace(day=23).timestamp()
    assert value(text, "refresher_last_publish_timestamp_seconds", asset="web-tls") == NOW.timestamp()
    assert value(text, "refresher_config_valid") == 0


def test_a_transfer_is_measured_while_it_is_under_way(metrics: Metrics, sidecar: FakeSidecar) -> None:
    def measured() -> tuple[float | None, float | None]:
        text = metrics.text().decode()
        names = ("refresher_transfer_bytes", "refresher_transfer_expected_bytes")
        return value(text, names[0], asset="web-tls"), value(text, names[1], asset="web-tls")

    assert measured() == (0, 0)
    for expected in (4096, None):
        transfer = Transfer(received=1024, expected=expected, seconds=2.0, rate=512.0)
        sidecar.states["web-tls"] = state("web-tls", transfer=transfer)
        assert measured() == (1024, expected)


def test_what_never_happened_is_zero_and_what_need_not_exist_has_no_sample(
    metrics: Metrics, sidecar: FakeSidecar
) -> None:
    nothing = dict.fromkeys(
        ("generation", "notified_generation", "published_at", "last_success_at", "expires_at", "next_refresh_at")
    )
    sidecar.states["web-tls"] = state("web-tls", **nothing)
    text = metrics.text().decode()
    assert value(text, "refresher_generation", asset="web-tls") == 0
    assert value(text, "refresher_last_success_timestamp_seconds", asset="web-tls") == 0
    assert value(text, "refresher_last_publish_timestamp_seconds", asset="web-tls") == 0
    assert value(text, "refresher_expiry_timestamp_seconds", asset="web-tls") is None
    assert value(text, "refresher_renewal_timestamp_seconds", asset="web-tls") is None
    assert value(text, "refresher_next_refresh_timestamp_seconds", asset="web-tls") is None


def test_a_broken_configuration_fails_no_probe(serve: Callable[..., Client], sidecar: FakeSidecar) -> None:
    sidecar.valid = False
    probes = serve(probes="127.0.0.1:0").probes()
    assert [probes.get(path).status for path in ("/readyz", "/livez")] == [200, 200]


def test_what_is_configured_later_starts_at_zero_and_what_is_gone_has_no_series(
    serve: Callable[..., Client], metrics: Metrics
) -> None:
    probes = serve(probes="127.0.0.1:0").probes()
    metrics.observe(outcome("model", steps={"fetch": 0.2}))
    metrics.begin({"web-tls": ["http"], "new": ["signal"]})
    metrics.forget_all_but({"web-tls": ["http"], "new": ["signal"]})
    metrics.observe_trigger("model", Trigger.SIGNAL)  # by a signal that was answered beside the change
    text = probes.get("/metrics").body.decode()
    counted = [(labels["asset"], labels.get("notifier")) for name, labels, _ in samples(text) if "_total" in name]
    assert {asset for asset, _ in counted} == {"web-tls", "new"}
    assert {notifier for _, notifier in counted} == {None, "http", "signal"}
