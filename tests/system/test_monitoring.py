"""What examples/monitoring and docs/monitoring.md give away, on a real sidecar that a real Prometheus scrapes."""

import json
import math
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from refresher.demo.openbao import OpenBao
from refresher.demo.process import free_port
from tests.fakes.app import App
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.system.prometheus import Prometheus, impatient, prometheus, promtool
from tests.test_docs import ROOT, anchors, blocks
from tests.waiting import until

RULES = ROOT / "examples/monitoring/prometheus-rules.yaml"
RULE_TESTS = sorted((ROOT / "tests/system/rules").glob("*.yaml"))
DASHBOARD = json.loads((ROOT / "examples/monitoring/grafana-dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
VARIABLES = {"$job": ".*", "$asset": "web", "$__rate_interval": "10s"}
"""`web` has something of everything: it expires, is told of, and is renewed every few seconds."""


@dataclass(frozen=True)
class Watched:
    """A sidecar in some trouble, and the server that scrapes it."""

    sidecar: Sidecar
    prometheus: Prometheus


def job_of(sidecar: Sidecar) -> dict[str, Any]:
    """What scrapes it."""
    return {"job_name": "refresher", "static_configs": [{"targets": [f"127.0.0.1:{sidecar.probes_port}"]}]}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """`web` is well, `away` has a source that isn't there, and `behind` an app."""
    directory = tmp_path_factory.mktemp("watched")
    (directory / "settings").write_text("new")
    (directory / "bao").mkdir()
    with OpenBao.started(directory / "bao") as bao, App().running() as app:
        web = Pki(bao, directory)
        configuration = web.configuration(
            web=web.asset(ttl="12s", notify=[{"http": {"url": app.url}}]),
            away={"source": f"http://127.0.0.1:{free_port()}/settings"},
            behind={
                "source": {"file": {"path": str(directory / "settings")}},
                "notify": [{"http": {"url": f"http://127.0.0.1:{free_port()}/reload"}}],
            },
        )
        with running(directory, configuration) as sidecar:
            rules = impatient(RULES, directory / "rules.yaml")
            with prometheus(directory, [job_of(sidecar)], rules) as server:
                until(lambda: (sidecar.state("web")["generation"] or 0) > 2, within=60)
                yield Watched(sidecar, server)


def test_promtool_has_nothing_to_say_against_the_metrics(watched: Watched) -> None:
    checked = promtool("check", "metrics", given=watched.sidecar.metrics())
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_promtool_would_notice_a_metric_that_is_wrong() -> None:
    wrong = "# TYPE refresher_things counter\nrefresher_things 1\n"
    assert promtool("check", "metrics", given=wrong).returncode != 0


def test_every_series_that_the_metrics_have_later_was_there_at_the_first_scrape(tmp_path: Path) -> None:
    with App().running() as app:
        source = {"source": {"file": {"path": str(tmp_path / "settings")}}, "notify": [{"http": {"url": app.url}}]}
        with running(tmp_path, {"assets": {"one": source}}) as sidecar:
            first = _series(sidecar)
            (tmp_path / "settings").write_text("new")
            until(lambda: sidecar.state("one")["notified_generation"])
            sidecar.ask("POST", "/refresh/one")
            later = _series(sidecar)
    # Only what can't have a value until something was planned.
    assert later - first <= {'refresher_next_refresh_timestamp_seconds{asset="one"}'}


def _series(sidecar: Sidecar) -> set[str]:
    return set(re.findall(r"^(refresher_\S+) ", sidecar.metrics(), flags=re.M))


def test_the_rules_are_rules() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("tests", RULE_TESTS, ids=lambda path: path.stem)
def test_every_alert_fires_when_it_should_and_only_then(tests: Path) -> None:
    ran = promtool("test", "rules", str(tests))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_is_among_those_tests_and_says_what_to_do() -> None:
    tested = "".join(path.read_text() for path in RULE_TESTS)
    headings = anchors(ROOT / "docs/monitoring.md")
    for rule in (rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]):
        name, annotations = rule["alert"], rule["annotations"]
        assert f'alertname="{name}"' in tested
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert annotations["runbook"] == f"docs/monitoring.md#{name.lower()}"
        assert name.lower() in headings
        assert annotations["summary"]
        assert annotations["description"].endswith(".")


def test_alerts_fire_for_what_is_wrong_and_not_for_what_is_well(watched: Watched) -> None:
    wanted = {
        ("RefresherFailing", "away"),
        ("RefresherNotReady", "away"),
        ("RefresherAppNotTold", "behind"),
    }

    def firing_for_them_alone() -> dict[tuple[str, str], dict[str, str]] | None:
        """`web` may be renewed late once, on a busy machine; that is over with its renewal."""
        found = watched.prometheus.firing()
        return found if wanted <= set(found) and {asset for _, asset in found} == {"away", "behind"} else None

    firing = until(firing_for_them_alone, within=60)
    said = " ".join(text for annotations in firing.values() for text in annotations.values())
    assert "away in 127.0.0.1:" in said
    assert not re.search("no value|error expanding|{{", said)


def test_a_sidecar_that_is_gone_fires(tmp_path: Path) -> None:
    rules = impatient(RULES, tmp_path / "rules.yaml")
    (tmp_path / "settings").write_text("new")
    source = {"assets": {"one": {"source": {"file": {"path": str(tmp_path / "settings")}}}}}
    with (
        running(tmp_path, source) as sidecar,
        prometheus(tmp_path, [job_of(sidecar)], rules) as server,
    ):
        until(lambda: server.values("up == 1") and not server.firing(), within=60)
        sidecar.kill()
        until(lambda: ("RefresherDown", "") in server.firing(), within=60)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_on_the_dashboard_has_data(watched: Watched, expression: str) -> None:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression

    def numbers() -> list[float]:
        found = watched.prometheus.ask("query", query=expression)["result"]
        return [number for one in found if math.isfinite(number := float(one["value"][1]))]

    assert until(numbers, within=60)


def test_the_fleet_is_counted_by_what_is_wrong_with_it(watched: Watched) -> None:
    def shown() -> dict[str, float]:
        titles = ("Sidecars", "Ready", "Not ready", "Failing", "App behind")
        exprs = {panel["title"]: panel["targets"][0]["expr"].replace("$job", ".*") for panel in reversed(PANELS)}
        return {title: next(iter(watched.prometheus.values(exprs[title]).values())) for title in titles}

    wanted = {"Sidecars": 1, "Ready": 2, "Not ready": 1, "Failing": 1, "App behind": 1}
    until(lambda: shown() == wanted, within=60)


def test_no_two_panels_of_the_dashboard_have_one_id_or_one_place() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart or above, (one, other)


def test_the_dashboard_asks_for_its_data_source_and_uses_no_variable_that_it_lacks() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    queried = [
        *PANELS,
        *(target for panel in PANELS for target in panel["targets"]),
        variables["job"],
        variables["asset"],
    ]
    assert all(each["datasource"] == chosen for each in queried)
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used - {"__rate_interval"} == set(variables)
    assert [panel["repeat"] for panel in DASHBOARD["panels"] if "repeat" in panel] == ["asset"]


def test_the_choices_of_the_dashboard_are_those_that_there_are(watched: Watched) -> None:
    found = {}
    for variable in DASHBOARD["templating"]["list"][1:]:
        series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
        parameters = {"match[]": series.replace("$job", ".*")}
        found[label] = watched.prometheus.ask(f"label/{label}/values", **parameters)
    assert found == {"job": ["refresher"], "asset": ["away", "behind", "web"]}


def test_the_documented_scrape_configuration_finds_each_sidecar_and_nothing_else_of_a_pod(tmp_path: Path) -> None:
    (block,) = blocks("yaml", role="prometheus")
    (job,) = yaml.safe_load(block.text)["scrape_configs"]
    # What Kubernetes would tell, for Debian's Prometheus is built without asking it.
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    with running(tmp_path, {"assets": {"one": {"source": "file:///etc/hostname"}}}) as sidecar:
        port = str(sidecar.probes_port)
        native = [("refresher", "true"), ("migrate", "true"), ("app", "false")]
        older = [("first-files", "true"), ("refresher", "false"), ("app", "false")]
        job["static_configs"] = [
            *(_container("native", name, init, port) for name, init in native),
            *(_container("older", name, init, port) for name, init in older),
            _container("job", "refresher", "true", port, phase="Succeeded"),
        ]
        with prometheus(tmp_path, [job]) as server:
            until(lambda: len(server.values("up == 1")) == 2, within=60)
            assert [dict(labels) for labels in sorted(server.values("up"))] == [
                {
                    "__name__": "up",
                    "instance": f"127.0.0.1:{port}",
                    "job": "refresher",
                    "namespace": "shop",
                    "pod": pod,
                }
                for pod in ("native", "older")
            ]


def _container(pod: str, name: str, init: str, port: str, *, phase: str = "Running") -> dict[str, Any]:
    meta = {
        "container_init": init,
        "container_name": name,
        "annotation_prometheus_io_scrape": "true",
        "annotation_prometheus_io_port": port,
        "annotation_prometheus_io_path": "/metrics",
        "ip": "127.0.0.1",
        "name": pod,
        "phase": phase,
    }
    labels = {f"__meta_kubernetes_pod_{name}": value for name, value in meta.items()}
    return {"targets": ["127.0.0.1"], "labels": labels | {"__meta_kubernetes_namespace": "shop"}}


def test_the_documented_command_makes_a_manifest_of_the_same_rules() -> None:
    (recipe,) = (block for block in blocks("sh") if "PrometheusRule" in block.text)
    make, _, _ = recipe.text.partition("| kubectl")
    made = subprocess.run(["sh", "-ec", make], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    manifest = yaml.safe_load(made)
    assert (manifest["apiVersion"], manifest["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert manifest["spec"] == yaml.safe_load(RULES.read_text())
