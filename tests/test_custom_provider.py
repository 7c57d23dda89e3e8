"""examples/custom-provider, built, installed beside refresher as anybody's package would be, and used by its name."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.journeys.sidecar import Sidecar, kept_running
from tests.servers.git import EXAMPLE, Repository, git_repository

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--no-deps"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that the package was installed into; the source is a copy, which building leaves its traces in."""
    target, source = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("source")
    subprocess.run(["cp", "-r", f"{EXAMPLE}/.", source], check=True)
    argv = [*PIP, "--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(argv, check=True, capture_output=True, timeout=300)
    return target


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with git_repository(tmp_path) as found:
        yield found


def configured(directory: Path, source: object, installed: Path | None) -> Sidecar:
    asset = {"source": source, "refresh": {"every": "1h"}}
    return Sidecar(directory, {"assets": {"web": asset}}, {"PYTHONPATH": str(installed)} if installed else {})


def below(directory: Path) -> dict[str, bytes]:
    """The published files, as an app reads them."""
    found = {}
    for here, directories, names in os.walk(directory, followlinks=True):
        directories[:] = [name for name in directories if not name.startswith("..")]
        found |= {str(Path(here, name).relative_to(directory)): Path(here, name).read_bytes() for name in names}
    return found


def test_its_own_tests_pass_where_it_is_installed(installed: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(EXAMPLE)]
    ended = subprocess.run(
        [*argv, "-c", str(EXAMPLE / "pyproject.toml"), str(EXAMPLE / "tests")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout


def test_a_directory_of_a_branch_is_published_followed_and_rolled_back(
    installed: Path, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({"config/server.conf": b"listen 80\n", "config/de/texts.json": b"{}", "README": b"not this"})
    sidecar = configured(tmp_path, {"git": {"url": repository.url, "ref": "main", "path": "config"}}, installed)
    token, published = tmp_path / "token", sidecar.volume / "web"
    token.write_text("t0ken")
    sidecar.configure(control={"listen": f"127.0.0.1:{sidecar.port}", "token": {"file": str(token)}})
    with kept_running(sidecar):
        assert sidecar.command("refresh", "web").returncode == 0
        first = below(published)
        assert first == {"server.conf": b"listen 80\n", "de/texts.json": b"{}"}
        kept = (published / "de/texts.json").stat().st_ino
        revision = repository.commit({"config/server.conf": b"listen 8080\n", "config/de/texts.json": b"{}"})
        assert sidecar.command("refresh", "web").returncode == 0
        assert below(published) == {"server.conf": b"listen 8080\n", "de/texts.json": b"{}"}
        assert sidecar.state("web")["revision"] == revision.decode()
        assert (published / "de/texts.json").stat().st_ino == kept, "an unchanged file was stored again"
        rolled_back = sidecar.command("rollback", "web")
        assert rolled_back.returncode == 0, rolled_back.stderr
        assert below(published) == first


def test_a_url_names_it_and_once_publishes(installed: Path, repository: Repository, tmp_path: Path) -> None:
    repository.commit({"config/server.conf": b"listen 80\n"}, branch="next")
    sidecar = configured(tmp_path, f"git+{repository.url}?ref=next#config/", installed)
    ended = sidecar.command("once")
    assert ended.returncode == 0, ended.stderr
    assert below(sidecar.volume / "web") == {"server.conf": b"listen 80\n"}


def test_what_is_refused_is_remembered_until_there_is_another_commit(
    installed: Path, repository: Repository, tmp_path: Path
) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5000000\n"
    repository.commit({"model.bin": pointer})
    sidecar = configured(tmp_path, {"git": {"url": repository.url}}, installed)
    first, again = (sidecar.command("once").stderr for _ in range(2))
    assert "model.bin is kept in Git LFS" in first
    assert "refused before" in again
    repository.commit({"model.bin": b"weights"})
    assert sidecar.command("once").returncode == 0
    assert below(sidecar.volume / "web") == {"model.bin": b"weights"}


def test_the_schema_knows_its_options(installed: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "refresher", "schema"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    ended = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=60, check=True, cwd=tmp_path)
    assert '"git"' in ended.stdout
    assert json.loads(ended.stdout)["$defs"]["GitOptions"]["properties"].keys() >= {"url", "ref", "path", "token"}


def test_the_configurations_in_its_readme_pass_check(installed: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml plugin\n(.*?)^```$", (EXAMPLE / "README.md").read_text(), flags=re.M | re.S)
    assert blocks
    for block in blocks:
        sidecar = Sidecar(tmp_path, yaml.safe_load(block), {"PYTHONPATH": str(installed)})
        ended = sidecar.command("check")
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_mistake_in_its_options_is_told_with_the_key(installed: Path, tmp_path: Path) -> None:
    source = {"git": {"url": "ssh://example.com/x.git", "reff": "main"}}
    ended = configured(tmp_path, source, installed).command("check")
    assert ended.returncode == 2
    assert "assets.web.source.git.url: must be an https:// or http:// URL" in ended.stderr
    assert "assets.web.source.git.reff" in ended.stderr


def test_without_the_package_what_is_missing_is_named(tmp_path: Path) -> None:
    for source in ({"git": {"url": "https://example.com/x.git"}}, "git+https://example.com/x.git"):
        ended = configured(tmp_path, source, None).command("check")
        assert ended.returncode == 2
        assert "assets.web.source" in ended.stderr
        assert "there is no provider 'git'" in ended.stderr
