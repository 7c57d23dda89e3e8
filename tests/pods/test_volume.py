"""The volume of a pod: it may fill up, and others than refresher's user read it."""

from typing import Any

from tests.pods.conftest import StartPod
from tests.pods.inside import ask
from tests.pods.manifests import example, reconfigure, spec, volume
from tests.pods.settings import APP, running, settings_pod
from tests.pods.site import Site
from tests.pods.vault import Vault
from tests.waiting import until

RELOAD = {"http": {"url": f"http://127.0.0.1:{APP}/-/reload", "initial": False}}
NEIGHBOUR = {
    "name": "neighbour",
    "image": "busybox:1.37",
    "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1 & wait; done"],
    "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
}


def test_a_volume_in_memory_that_is_full_keeps_the_last_good_files_until_there_is_room(
    site: Site, run_pod: StartPod
) -> None:
    documents = settings_pod(site, notify=[RELOAD])
    volume(documents, "shared")["emptyDir"] = {"medium": "Memory", "sizeLimit": "1Mi"}
    spec(documents)["containers"].append(NEIGHBOUR)
    pod = run_pod(documents)
    pod.exec("neighbour", "dd", "if=/dev/zero", "of=/shared/ballast", "bs=4k", check=False)
    site.serve(greeting="good evening", padding="x" * 10_000)
    status, outcome = ask(pod, "POST", "/refresh/settings")
    assert (status, outcome["error"].partition(":")[0], outcome["generation"]) == (502, "no room", 1)
    assert ask(pod, "GET", "/readyz")[0] == 200
    assert ask(pod, "POST", "/-/reload", port=APP)[1]["running"] == {"greeting": "hello"}
    pod.exec("neighbour", "rm", "/shared/ballast")
    until(lambda: running(pod) == "good evening", within=60)


def test_an_app_of_another_user_reads_the_key_by_the_pods_group_until_it_is_retired(
    vault: Vault, run_pod: StartPod
) -> None:
    documents = example("certificate/deployment.yaml")
    vault.lead(documents)
    reconfigure(documents, "web-tls", notify=[], publish={"directory": "tls", "grace": "1s"})
    (nginx,) = spec(documents)["containers"]
    nginx["securityContext"] |= {"runAsUser": 2000, "runAsGroup": 2000}
    pod = run_pod(documents)
    assert key_mode(pod, "tls.key") == "640 101 101"
    retired = "..refresher/00000001/files/tls.key"
    assert read(pod, retired) == (0, "")
    assert ask(pod, "POST", "/refresh/web-tls")[0] == 200
    until(lambda: read(pod, retired)[1].endswith("Permission denied\n"), within=60)
    assert read(pod, "tls.key") == (0, "")


def key_mode(pod: Any, file: str) -> str:
    return str(pod.exec("nginx", "stat", "-L", "-c", "%a %u %g", f"/shared/tls/{file}").stdout.strip())


def read(pod: Any, file: str) -> tuple[int, str]:
    tried = pod.exec("nginx", "cat", f"/shared/tls/{file}", check=False)
    return tried.returncode, tried.stderr
