"""The quickstart's pod with a main container that can be told: `app.py` beside this file."""

from pathlib import Path
from typing import Any

from tests.pods.inside import ask
from tests.pods.manifests import Documents, configuration, example, reconfigure, spec
from tests.pods.site import Site

APP = 8080


def settings_pod(site: Site, **changes: Any) -> Documents:
    """The manifest; `changes` are to the configuration of its asset."""
    documents = example("quickstart/pod.yaml")
    site.lead(documents)
    reconfigure(documents, "settings", **changes)
    configuration(documents)["app.py"] = Path(__file__).with_name("app.py").read_text()
    (app,) = spec(documents)["containers"]
    app |= {"image": "python:3.12-slim", "command": ["python3", "/app/app.py"]}
    app["volumeMounts"].append({"name": "config", "mountPath": "/app", "readOnly": True})
    # It serves only once it has read its settings.
    app["readinessProbe"] = {"httpGet": {"path": "/", "port": APP}, "periodSeconds": 1}
    return documents


def running(pod: Any) -> Any:
    """The greeting that the app runs with."""
    return ask(pod, "GET", "/", port=APP)[1]["running"]["greeting"]


def told(pod: Any) -> int:
    """How often the app was told since it started."""
    return int(ask(pod, "GET", "/", port=APP)[1]["told"])
