import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import refresher
from refresher.demo.caddy import Caddy
from refresher.demo.openbao import OpenBao
from refresher.demo.pod import FOREIGN
from refresher.demo.process import program
from tests.fakes.token_review import service_account_token, token_review
from tests.servers import vault_setup

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
WORKLOADS = ("Pod", "Deployment", "Job", "CronJob", "DaemonSet")
# What kustomize puts together is tested with kustomize itself, in tests/system.
MANIFESTS = [
    EXAMPLES / "certificate/deployment.yaml",
    EXAMPLES / "quickstart/pod.yaml",
    *sorted((EXAMPLES / "kubernetes").glob("*.yaml")),
]
NAMES = [str(path.relative_to(EXAMPLES)) for path in MANIFESTS]
REFRESHER = [sys.executable, "-m", "refresher"]
IMAGE = f"refresher:{refresher.__version__}"


def documents(manifest: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(manifest.read_text()) if document]


def one(manifest: Path, *kinds: str) -> dict[str, Any]:
    (found,) = [document for document in documents(manifest) if document["kind"] in kinds]
    return found


def pod(manifest: Path) -> dict[str, Any]:
    """The specification of the pod that a manifest runs."""
    spec: dict[str, Any] = one(manifest, *WORKLOADS)["spec"]
    for nested in ("jobTemplate", "template"):
        spec = spec[nested]["spec"] if nested in spec else spec
    return spec


def ours_and_theirs(manifest: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The containers that run refresher, and the apps."""
    spec = pod(manifest)
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    ours = [container for container in containers if container["image"] == IMAGE and "command" not in container]
    return ours, [container for container in containers if container["image"] != IMAGE]


def configuration(manifest: Path) -> str:
    return str(one(manifest, "ConfigMap")["data"]["refresher.yaml"])


def run(*argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=300, check=False, cwd=cwd, env={**kept, **environment}
    )


def test_there_are_examples() -> None:
    assert {one(manifest, *WORKLOADS)["kind"] for manifest in MANIFESTS} == set(WORKLOADS)


@pytest.mark.parametrize("manifest", sorted(EXAMPLES.glob("kubernetes/*.yaml")), ids=lambda path: path.name)
def test_a_section_says_when_to_take_a_manifest(manifest: Path) -> None:
    sections = (EXAMPLES / "kubernetes/README.md").read_text().split("\n## ")[1:]
    (section,) = [section for section in sections if section.startswith(f"{manifest.name}\n")]
    assert section.split("\n\n")[1].startswith("Take it ")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=NAMES)
def test_a_manifest_is_valid_for_kubernetes(manifest: Path) -> None:
    ended = run(program("kubernetes-validate"), "--strict", str(manifest), cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_an_invalid_manifest_would_be_noticed(tmp_path: Path) -> None:
    changed = one(EXAMPLES / "quickstart/pod.yaml", "Pod")
    changed["spec"]["initContainers"][0]["restartPolicies"] = "Always"
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(changed))
    assert run(program("kubernetes-validate"), "--strict", "pod.yaml", cwd=tmp_path).returncode != 0


@pytest.mark.parametrize("manifest", MANIFESTS, ids=NAMES)
def test_the_configuration_in_a_manifest_passes_check_without_a_warning(manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "refresher.yaml").write_text(configuration(manifest))
    (tmp_path / "shared").mkdir()
    ended = run(*REFRESHER, "check", cwd=tmp_path, REFRESHER_VOLUME=str(tmp_path / "shared"))
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=NAMES)
def test_every_container_is_confined(manifest: Path) -> None:
    spec = pod(manifest)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"]["drop"] == ["ALL"]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=NAMES)
def test_only_refresher_may_write_to_the_volume(manifest: Path) -> None:
    ours, theirs = ours_and_theirs(manifest)
    volume = yaml.safe_load(configuration(manifest))["volume"]
    for container in (*ours, *theirs):
        (mounted,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == volume]
        assert mounted.get("readOnly", False) is (container in theirs)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=NAMES)
def test_what_goes_on_running_is_asked_whether_it_lives_and_its_readiness_never_takes_the_pod_away(
    manifest: Path,
) -> None:
    ours, theirs = ours_and_theirs(manifest)
    for container in ours:
        assert "readinessProbe" not in container
        if container.get("args", ["run"])[0] == "run":
            assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": 8471}
        if container.get("restartPolicy") == "Always":
            assert container["startupProbe"]["httpGet"] == {"path": "/readyz", "port": 8471}
    assert not theirs or any(
        container.get("restartPolicy") == "Always" or container.get("args") == ["once"] for container in ours
    ), "an app would start before its first files are there"


def test_the_quickstart_is_the_same_for_a_machine_and_for_a_pod() -> None:
    local = yaml.safe_load((EXAMPLES / "quickstart/refresher.yaml").read_text())
    pod = yaml.safe_load(configuration(EXAMPLES / "quickstart/pod.yaml"))
    local["assets"]["settings"]["source"] = pod["assets"]["settings"]["source"]
    assert local == pod


def test_the_quickstart_publishes_and_keeps_the_last_good_file(caddy: Caddy, tmp_path: Path) -> None:
    served, volume = caddy.root / "quickstart.json", tmp_path / "shared"
    volume.mkdir()
    environment = {
        "REFRESHER_VOLUME": str(volume),
        "REFRESHER_ASSETS__SETTINGS__SOURCE__HTTP__URL": f"{caddy.url}/{served.name}",
        "REFRESHER_ASSETS__SETTINGS__SOURCE__HTTP__NAME": "settings.json",
    }
    good = (EXAMPLES / "quickstart/site/settings.json").read_text()
    published = volume / "settings/settings.json"
    served.write_text(good)
    ended = run(*REFRESHER, "once", "--notify", cwd=EXAMPLES / "quickstart", **environment)
    assert ended.returncode == 0, ended.stderr
    assert published.read_text() == good
    assert json.loads((volume / "settings.changed.json").read_text())["generation"] == 1
    served.write_text(good.rstrip().removesuffix("}"))
    ended = run(*REFRESHER, "once", "--strict", cwd=EXAMPLES / "quickstart", **environment)
    assert ended.returncode == 1
    assert published.read_text() == good


def test_the_certificate_example_issues_with_the_rights_that_its_script_gives(tmp_path: Path) -> None:
    manifest = EXAMPLES / "certificate/deployment.yaml"
    account = one(manifest, "ServiceAccount")["metadata"]["name"]
    (projected,) = [volume for volume in pod(manifest)["volumes"] if "projected" in volume]
    audience = projected["projected"]["sources"][0]["serviceAccountToken"]["audience"]
    token = service_account_token("default", account, audience=audience)
    (tmp_path / "token").write_text(token)
    (tmp_path / "refresher.yaml").write_text(configuration(manifest))
    (tmp_path / "shared").mkdir()
    with OpenBao.started(tmp_path) as bao, token_review({token: f"default:{account}"}) as kubernetes:
        first, again = (
            run(str(vault_setup.SCRIPT), cwd=tmp_path, **vault_setup.environment(bao, kubernetes)) for _ in range(2)
        )
        assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
        assert first.stdout == again.stdout
        assert first.stdout.startswith("-----BEGIN CERTIFICATE-----")
        login = {"kubernetes": {"role": "web", "token_file": str(tmp_path / "token")}}
        ended = run(
            *REFRESHER,
            "once",
            cwd=tmp_path,
            REFRESHER_VOLUME=str(tmp_path / "shared"),
            REFRESHER_PROVIDERS__VAULT__ADDRESS=bao.tls_address,
            REFRESHER_PROVIDERS__VAULT__CA_FILE=str(bao.ca_file),
            REFRESHER_PROVIDERS__VAULT__AUTH=json.dumps(login),
        )
    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in (tmp_path / "shared/tls").glob("[!.]*")) == ["ca.crt", "tls.crt", "tls.key"]
    assert (tmp_path / "shared/tls/ca.crt").read_text().strip() == first.stdout.strip()


def test_the_configuration_after_the_agents_passes_check_without_a_warning(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "vault-agent/after", tmp_path, dirs_exist_ok=True)
    (tmp_path / "shared").mkdir()
    ended = run(*REFRESHER, "check", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_each_file_that_the_agent_writes_is_one_that_refresher_makes_and_each_template_is_used() -> None:
    before = (EXAMPLES / "vault-agent/before/agent.hcl").read_text()
    render = yaml.safe_load((EXAMPLES / "vault-agent/after/refresher.yaml").read_text())["assets"]["shop"]["render"]
    assert re.findall('destination = "rendered/(.*)"', before) == list(render)
    templates = {path.name for path in (EXAMPLES / "vault-agent/after/templates").iterdir()}
    assert {entry.removeprefix("templates/") for entry in render.values() if isinstance(entry, str)} == templates


def test_the_image_and_the_examples_say_the_version_that_the_package_has() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in (ROOT / "Dockerfile").read_text()
    for manifest in MANIFESTS:
        assert ours_and_theirs(manifest)[0], f"{manifest}: nothing runs refresher:{version}"
