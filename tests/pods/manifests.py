"""The manifests of the examples, as written, and the few things in them that have to fit this machine."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import yaml

from tests.pods.kit import ROOT

OUTSIDE = "10.0.2.2"
"""This machine's loopback, as seen from a pod."""
WORKLOADS = ("Pod", "Deployment", "DaemonSet", "Job")

Documents = list[dict[str, Any]]


def example(path: str) -> Documents:
    """The documents of a manifest below `examples`; the workload gets a name that nobody else has.

    A CronJob is the Job that it makes, whatever the time is.
    """
    written = [each for each in yaml.safe_load_all((ROOT / "examples" / path).read_text()) if each]
    documents = [_job(each) if each["kind"] == "CronJob" else each for each in written]
    workload(documents)["metadata"]["name"] += f"-{uuid4().hex[:8]}"
    return documents


def workload(documents: Documents) -> dict[str, Any]:
    """The one document of which pods are made."""
    (found,) = [each for each in documents if each["kind"] in WORKLOADS]
    return found


def spec(documents: Documents) -> dict[str, Any]:
    """The pod's specification."""
    found = workload(documents)
    return found["spec"] if found["kind"] == "Pod" else found["spec"]["template"]["spec"]


def volume(documents: Documents, name: str) -> dict[str, Any]:
    """One of the pod's volumes."""
    (found,) = [each for each in spec(documents)["volumes"] if each["name"] == name]
    return found


def configuration(documents: Documents) -> dict[str, str]:
    """The files of the one ConfigMap."""
    (found,) = [each for each in documents if each["kind"] == "ConfigMap"]
    return found["data"]


def reconfigure(documents: Documents, asset: str, **changes: Any) -> None:
    """Replace these keys of that asset."""
    files = configuration(documents)
    settings = yaml.safe_load(files["refresher.yaml"])
    settings["assets"][asset] |= changes
    files["refresher.yaml"] = yaml.safe_dump(settings)


def find_outside(documents: Documents, host: str, environment: Mapping[str, str]) -> None:
    """Lead that host name to this machine's loopback, and give refresher's containers these variables."""
    found = spec(documents)
    found.setdefault("hostAliases", []).append({"ip": OUTSIDE, "hostnames": [host]})
    variables = [{"name": name, "value": value} for name, value in environment.items()]
    for container in [*found.get("initContainers", []), *found["containers"]]:
        if container["image"].startswith("refresher:"):
            container.setdefault("env", []).extend(variables)


def _job(cron_job: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Job", "metadata": cron_job["metadata"], "spec": cron_job["spec"]["jobTemplate"]["spec"]}
