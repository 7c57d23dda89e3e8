"""What docs/kubernetes.md says to add to a manifest, added to one."""

import re
from datetime import UTC, datetime
from typing import Any

import yaml

from tests.certificates import DAY, HOUR, Authority
from tests.pods.conftest import StartPod
from tests.pods.inside import ask
from tests.pods.kit import ROOT
from tests.pods.manifests import Documents, configuration, example, spec
from tests.pods.settings import settings_pod
from tests.pods.site import Site
from tests.waiting import until


def block(naming: str, kind: str) -> dict[str, Any]:
    """The first block of that kind which names this."""
    page = (ROOT / "docs/kubernetes.md").read_text()
    found = re.findall(rf"^```{kind}\n(.*?)^```$", page, flags=re.M | re.S)
    parsed: dict[str, Any] = yaml.safe_load(next(text for text in found if naming in text))
    return parsed


def configure(documents: Documents, **changes: Any) -> None:
    files = configuration(documents)
    files["refresher.yaml"] = yaml.safe_dump(yaml.safe_load(files["refresher.yaml"]) | changes)


def mount(documents: Documents, volume: dict[str, Any], *mounts: dict[str, Any]) -> None:
    (sidecar,) = spec(documents)["initContainers"]
    sidecar["volumeMounts"].extend(mounts)
    spec(documents)["volumes"].append(volume)


def test_a_rollback_takes_its_token_from_the_secret(site: Site, run_pod: StartPod) -> None:
    documents = settings_pod(site, notify=[])
    added = block("web-control", "yaml kubernetes")
    mount(documents, added["volumes"][0], *added["initContainers"][0]["volumeMounts"])
    configure(documents, **block("control:", "yaml"))
    documents.append({"kind": "Secret", "metadata": {"name": "web-control"}, "stringData": {"token": "made up"}})
    pod = run_pod(documents)
    site.serve(greeting="good evening")
    assert ask(pod, "POST", "/refresh/settings")[0] == 401
    pod.exec("refresher", "refresher", "refresh", "settings")
    pod.exec("refresher", "refresher", "rollback", "settings")
    asset = ask(pod, "GET", "/assets/settings")[1]
    assert (asset["generation"], asset["pinned"]) == (1, True)


def secret(authority: Authority) -> dict[str, Any]:
    """What cert-manager writes, issued now."""
    now = datetime.now(UTC)
    issued = authority.issue("web.example.com", since=now - HOUR, until=now + DAY)
    files = {"tls.crt": issued.pem, "tls.key": issued.key_pem, "ca.crt": authority.pem}
    return {
        "kind": "Secret",
        "metadata": {"name": "web-tls"},
        "stringData": {name: content.decode() for name, content in files.items()},
    }


def test_a_secret_that_cert_manager_replaces_is_published_at_once(run_pod: StartPod) -> None:
    documents = example("quickstart/pod.yaml")
    added = block("file:///etc/web-tls", "yaml")
    configure(documents, **added)
    mount(
        documents,
        {"name": "web-tls", "secret": {"secretName": "web-tls"}},
        {"name": "web-tls", "mountPath": "/etc/web-tls", "readOnly": True},
    )
    authority = Authority.root(since=datetime.now(UTC) - DAY, until=datetime.now(UTC) + 365 * DAY)
    first, second = secret(authority), secret(authority)
    pod = run_pod([*documents, first])
    shown = ("cat", "/shared/tls/tls.crt")
    assert pod.exec("app", *shown).stdout == first["stringData"]["tls.crt"]
    pod.update(second)
    until(lambda: pod.exec("app", *shown).stdout == second["stringData"]["tls.crt"], within=60)
    assert ask(pod, "GET", "/assets/web-tls")[1]["generation"] == 2
