"""The image, built once for all workers; the servers outside; pods that are gone when their test is over."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol
from uuid import uuid4

import pytest

from tests.pods import kit
from tests.pods.manifests import Documents, spec
from tests.pods.site import Site
from tests.pods.vault import Vault

# The workers inherit it from the process that starts them and builds the image.
TAG = os.environ.setdefault("POD_TEST_IMAGE", f"localhost/refresher:test-{uuid4().hex[:8]}")
IMAGES = {
    "refresher:0.1.0": TAG,
    "nginxinc/nginx-unprivileged:1.29": kit.NGINX,
    "busybox:1.37": kit.SHELL,
    "python:3.12-slim": kit.PYTHON,
}
READY_WITHIN = 90.0
"""Seconds; a pod on an idle machine takes two."""


class StartPod(Protocol):
    """Starts a pod from its manifest; `options` are the kubelet's."""

    def __call__(self, documents: Documents, **options: Any) -> Any: ...


def builds(session: pytest.Session) -> bool:
    return not hasattr(session.config, "workerinput") and not session.config.option.collectonly


def pytest_sessionstart(session: pytest.Session) -> None:
    if builds(session):
        try:
            kit.build(TAG)
        except kit.MissingKitError as error:
            pytest.exit(str(error), returncode=1)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if builds(session):
        kit.podman("rmi", TAG)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that passed tests have recorded."""
    for report in terminalreporter.stats.get("passed", []):
        for _, figure in report.user_properties if report.when == "call" else []:
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {figure}")


@pytest.fixture(scope="session")
def image() -> str:
    return TAG


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with Vault.started(tmp_path_factory.mktemp("vault")) as server:
        yield server


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().running() as running:
        yield running


@pytest.fixture(scope="module")
def start_pod(vault: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartPod]:
    """Starts pods; deletes them when the module's tests are over."""
    with ExitStack() as pods:

        def start(documents: Documents, **options: Any) -> Any:
            tokens = vault.account_tokens(spec(documents).get("serviceAccountName", "default"))
            directory = tmp_path_factory.mktemp("pod")
            pod = kit.kubelet()["Pod"](documents, run_dir=directory, images=IMAGES, sa_token=tokens, **options)
            pods.callback(end, pod)
            return pod.start()

        yield start


@pytest.fixture(scope="module")
def run_pod(start_pod: StartPod) -> StartPod:
    """Starts pods, and waits until they are ready."""
    return lambda documents, **options: start_pod(documents, **options).wait_ready(READY_WITHIN)


def end(pod: Any) -> None:
    """Delete the pod, and show what it said to whoever reads about a failed test."""
    pod.delete(grace=10)
    for container in pod.containers:
        print(f"--- {pod.name} {container}\n{pod.logs(container)}")
    print(*pod.events, sep="\n")
