"""The main container hears of a new generation, in each of the ways that need a pod to be true."""

from typing import Any

import pytest

from tests.pods.conftest import StartPod
from tests.pods.inside import ask, killed
from tests.pods.manifests import spec
from tests.pods.settings import APP, running, settings_pod, told
from tests.pods.site import Site
from tests.waiting import until

WAYS: dict[str, dict[str, Any]] = {
    "http": {"url": f"http://127.0.0.1:{APP}/-/reload", "initial": False},
    "marker": {"path": "settings.changed.json", "initial": False},
    "signal": {"signal": "HUP", "process": "python3 /app/app.py", "initial": False},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_app_runs_what_was_published_after_it_was_told_once(way: str, site: Site, run_pod: StartPod) -> None:
    documents = settings_pod(site, notify=[{way: WAYS[way]}])
    spec(documents)["shareProcessNamespace"] = way == "signal"
    pod = run_pod(documents)
    assert (running(pod), told(pod)) == ("hello", 0)
    site.serve(greeting="good evening")
    assert ask(pod, "POST", "/refresh?until=told")[0] == 200
    until(lambda: running(pod) == "good evening")
    assert told(pod) == 1


def test_a_sidecar_killed_between_publishing_and_telling_tells_when_it_is_back(site: Site, run_pod: StartPod) -> None:
    pod = run_pod(settings_pod(site, notify=[{"http": WAYS["http"]}]))
    ask(pod, "PUT", "/deaf", port=APP)
    site.serve(greeting="good night")
    assert ask(pod, "POST", "/refresh")[0] == 200
    asset = ask(pod, "GET", "/assets/settings")[1]
    assert (asset["generation"], asset["notified_generation"]) == (2, 1)
    with killed(pod, "refresher"):
        assert (running(pod), told(pod)) == ("hello", 0)
        ask(pod, "DELETE", "/deaf", port=APP)
    until(lambda: running(pod) == "good night", within=60)
    until(pod.ready, within=60)
    assert ask(pod, "GET", "/assets/settings")[1]["generation"] == 2
