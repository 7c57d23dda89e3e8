"""The examples' pods, as they are written: only the images and the servers' addresses are this machine's."""

from collections.abc import Callable, Iterator
from signal import SIGTERM
from typing import Any, NamedTuple

import pytest

from tests.pods.conftest import StartPod
from tests.pods.inside import ask, generation, listens, process_status, root_is_read_only, seconds_to_end
from tests.pods.manifests import Documents, configuration, example, spec
from tests.pods.site import Site
from tests.pods.vault import Vault
from tests.waiting import until

FILES = {
    "certificate/deployment.yaml": ["tls/ca.crt", "tls/tls.crt", "tls/tls.key"],
    "quickstart/pod.yaml": ["settings/settings.json"],
    "kubernetes/native-sidecar.yaml": ["settings/settings.json"],
    "kubernetes/init-and-sidecar.yaml": ["settings/settings.json"],
}


class Running(NamedTuple):
    """The pod of an example, and its container that isn't refresher's."""

    files: list[str]
    pod: Any
    app: str


@pytest.fixture(scope="module")
def lead(vault: Vault) -> Iterator[Callable[[Documents], None]]:
    """Has a manifest's pod find the servers that it needs."""
    with Site().running() as site:
        yield lambda documents: (vault if "vault" in configuration(documents)["refresher.yaml"] else site).lead(
            documents
        )


@pytest.fixture(scope="module", params=FILES)
def running(request: pytest.FixtureRequest, lead: Callable[[Documents], None], run_pod: StartPod) -> Running:
    documents = example(request.param)
    lead(documents)
    (app,) = [each["name"] for each in spec(documents)["containers"] if each["name"] != "refresher"]
    pod = run_pod(documents)
    # Where it is no native sidecar, the pod may be ready sooner.
    until(lambda: listens(pod), within=60)
    return Running(FILES[request.param], pod, app)


def test_a_pod_becomes_ready_with_its_files(running: Running) -> None:
    for file in running.files:
        assert running.pod.exec(running.app, "cat", f"/shared/{file}").stdout


def test_the_main_container_cannot_write_to_the_volume(running: Running) -> None:
    tried = running.pod.exec(running.app, "sh", "-c", "echo mine > /shared/mine", check=False)
    assert (tried.returncode, "Read-only file system" in tried.stderr) == (1, True)


def test_the_sidecar_is_an_ordinary_user_without_any_rights(running: Running) -> None:
    status = process_status(running.pod, "refresher")
    assert "0" not in status["Uid"].split()
    assert "0" not in status["Gid"].split()
    assert {int(status[which], 16) for which in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert root_is_read_only(running.pod, "refresher")


def test_the_sidecar_ends_within_two_seconds_of_a_sigterm(running: Running) -> None:
    assert seconds_to_end(running.pod, "refresher", SIGTERM) < 2


def test_a_deleted_pod_ends_its_app_before_its_sidecar_and_nobody_has_to_be_killed(
    site: Site, run_pod: StartPod
) -> None:
    documents = example("kubernetes/native-sidecar.yaml")
    site.lead(documents)
    pod = run_pod(documents)
    pod.delete()
    told = [event for event in pod.events if event["event"] in ("stopping", "killed", "exited")]
    assert [(event["container"], event["event"], event.get("code")) for event in told] == [
        ("app", "stopping", None),
        ("app", "exited", 0),
        ("refresher", "stopping", None),
        ("refresher", "exited", 0),
    ]


@pytest.mark.parametrize("kind", ["native-sidecar", "init-and-sidecar"])
def test_a_change_at_the_source_is_served_and_nothing_is_fetched_twice(
    kind: str, site: Site, run_pod: StartPod
) -> None:
    documents = example(f"kubernetes/{kind}.yaml")
    site.lead(documents)
    pod = run_pod(documents)
    until(lambda: generation(pod, "settings") == 1)
    assert ask(pod, "GET", "/settings.json", port=8080) == (200, {"greeting": "hello"})
    assert site.sent == 1
    site.serve(greeting="good evening")
    assert ask(pod, "POST", "/refresh")[0] == 200
    assert ask(pod, "GET", "/settings.json", port=8080) == (200, {"greeting": "good evening"})
    assert (generation(pod, "settings"), site.sent) == (2, 2)
