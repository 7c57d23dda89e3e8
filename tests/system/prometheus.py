"""Debian's Prometheus on loopback, scraping every second, and its promtool."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3
import yaml

from refresher.demo.process import free_port, running
from tests.system.programs import debian

http = urllib3.PoolManager(retries=False, timeout=30)


def promtool(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """`promtool check …`, with that on its standard input."""
    argv = [debian("promtool"), *words]
    return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=60, check=False)


class Prometheus:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer. Fails the test if it is an error, as for an expression that isn't one."""
        answer = http.request("GET", f"{self.url}/api/v1/{path}", fields=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """What the expression is now, by the labels of each series."""
        found = self.ask("query", query=expression)["result"]
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in found}

    def firing(self) -> dict[tuple[str, str], dict[str, str]]:
        """The annotations of the alerts that fire, by (alert, asset)."""
        alerts = self.ask("alerts")["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"].get("asset", "")): alert["annotations"]
            for alert in alerts
            if alert["state"] == "firing"
        }


@contextlib.contextmanager
def prometheus(directory: Path, jobs: list[dict[str, Any]], rules: Path | None = None) -> Iterator[Prometheus]:
    """A server that scrapes these jobs, and applies these rules, every second."""
    port = free_port()
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": jobs,
        "rule_files": [str(rules)] if rules else [],
    }
    (directory / "prometheus.yml").write_text(json.dumps(configuration))
    argv = [
        debian("prometheus"),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'series'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(argv, log=directory / "prometheus.log", answers=lambda: _ready(port)):
        yield Prometheus(port)


def _ready(port: int) -> bool:
    with contextlib.suppress(urllib3.exceptions.HTTPError):
        return http.request("GET", f"http://127.0.0.1:{port}/-/ready").status == 200
    return False


def impatient(rules: Path, copy: Path) -> Path:
    """The same rules without their patience: what is true for a second fires."""
    groups = yaml.safe_load(rules.read_text())["groups"]
    for group in groups:
        group["rules"] = [rule | {"for": "1s"} for rule in group["rules"]]
    copy.write_text(yaml.safe_dump({"groups": groups}))
    return copy
