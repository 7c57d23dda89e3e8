"""The list of what is in the image, as `make sbom` writes it."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sbom") / "refresher.cdx.json"
    # -o: the environment that runs this test is taken as it is.
    subprocess.run(["make", "-s", "-o", ".venv/.system", "sbom", f"SBOM={path}"], cwd=ROOT, check=True, timeout=60)
    return path.read_text()


def test_the_list_is_valid(written: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None


def test_a_list_that_is_not_valid_would_be_noticed(written: str) -> None:
    changed = written.replace('"type": "library"', '"type": "novel"', 1)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(changed) is not None


def test_it_names_what_the_image_is_installed_from_and_nothing_else(written: str) -> None:
    locked = re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), flags=re.M)
    components = json.loads(written)["components"]
    assert [(component["name"], component["version"]) for component in components] == locked
    for component in components:
        (distribution,) = component["externalReferences"]
        assert {digest["alg"] for digest in distribution["hashes"]} == {"SHA-256"}


def test_it_is_about_this_version(written: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    about = json.loads(written)["metadata"]["component"]
    assert (about["name"], about["version"]) == (project["name"], project["version"])
