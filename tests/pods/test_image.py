"""The image as its container runs it: confined as far as that goes, and by whatever user."""

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from refresher.demo.seaweed import SeaweedFS
from tests.pods import kit
from tests.servers.git import EXAMPLE, git_repository
from tests.waiting import until

ROOT = Path(__file__).parents[2]
CONFINED = ("--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges")
ALONE = "--network=none"
TO_THIS_MACHINE = "--network=slirp4netns:allow_host_loopback=true"
"""A network of its own, in which this machine's loopback has the address 10.0.2.2."""
PYTHON = "--entrypoint=/opt/venv/bin/python"
GROUP = 2000
ANYBODY = 1000650000
"""A user that no image knows, as OpenShift chooses one for each namespace."""


def podman(*argv: str) -> str:
    """What it prints; fails the test if it fails."""
    ran = subprocess.run(["podman", *argv], capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def in_image(image: str, program: str) -> str:
    """What a Python program prints in the image."""
    return podman("run", "--rm", ALONE, *CONFINED, PYTHON, image, "-c", program)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A directory as `fsGroup` leaves it."""
    path = tmp_path / "shared"
    path.mkdir()
    subprocess.run(["chown", f"0:{GROUP}", path], check=True)
    path.chmod(0o2770)
    return path


def mounted(directory: Path, volume: Path, asset: dict[str, object]) -> tuple[str, ...]:
    """The configuration and the volume, as arguments of `podman run`."""
    (directory / "config").mkdir()
    (directory / "config/refresher.yaml").write_text(json.dumps({"assets": {"settings": asset}}))
    (directory / "config/settings.json").write_text("{}")
    return f"--volume={directory}/config:/etc/refresher:ro", f"--volume={volume}:/shared", f"--group-add={GROUP}"


@contextlib.contextmanager
def running(image: str, *arguments: str) -> Iterator[str]:
    """A container's name, until the context ends."""
    name = f"refresher-{uuid4().hex[:8]}"
    podman("run", "--detach", f"--name={name}", ALONE, *CONFINED, *arguments, image)
    try:
        yield name
    finally:
        podman("rm", "--force", "--time=0", name)


def test_it_says_what_it_is_and_whom_it_runs_as(image: str) -> None:
    (inspected,) = json.loads(podman("image", "inspect", image))
    config, labels = inspected["Config"], inspected["Labels"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == ("65532:65532", ["refresher"], ["run"])
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    said = podman("run", "--rm", ALONE, *CONFINED, image, "--version")
    assert said.strip() == labels["org.opencontainers.image.version"]


def test_it_holds_what_is_locked_and_nothing_else(image: str) -> None:
    listing = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    held = {re.sub("[._](?=.*==)", "-", name.lower()) for name in in_image(image, listing).split()}
    locked = re.findall(r"^([a-z0-9.-]+==[^ ;]+)", (ROOT / "requirements.lock").read_text(), flags=re.M)
    assert {name for name in held if not name.startswith(("refresher==", "pip=="))} == set(locked)


@pytest.mark.parametrize("user", [65532, ANYBODY])
def test_any_user_of_the_volumes_group_publishes_for_any_other(
    image: str, tmp_path: Path, volume: Path, user: int
) -> None:
    asset = {"source": "file:///etc/refresher/settings.json", "publish": {"mode": "0640"}}
    arguments = mounted(tmp_path, volume, asset)
    podman("run", "--rm", ALONE, *CONFINED, f"--user={user}:{user}", *arguments, image, "once")
    published = (volume / "settings/settings.json").stat()
    assert (published.st_uid, published.st_gid, published.st_mode & 0o777) == (user, GROUP, 0o640)


def test_an_object_comes_from_s3(image: str, tmp_path: Path, volume: Path, seaweed: SeaweedFS) -> None:
    bucket = seaweed.bucket(f"image-{uuid4().hex[:8]}")
    seaweed.client().put_object(Bucket=bucket, Key="settings.json", Body=b"{}")
    endpoint = seaweed.endpoint_url.replace("127.0.0.1", "10.0.2.2")
    source = {"bucket": bucket, "key": "settings.json", "endpoint_url": endpoint, "region": seaweed.region}
    arguments = mounted(tmp_path, volume, {"source": {"s3": source}})
    login = f"--env=AWS_ACCESS_KEY_ID={seaweed.access_key}", f"--env=AWS_SECRET_ACCESS_KEY={seaweed.secret_key}"
    podman("run", "--rm", TO_THIS_MACHINE, *CONFINED, *arguments, *login, image, "once")
    assert (volume / "settings/settings.json").read_text() == "{}"


def test_each_service_that_a_login_for_s3_may_need_is_described(image: str) -> None:
    services = "s3", "sts", "sso", "sso-oidc", "signin"
    program = (
        "from botocore.session import Session; "
        f"print(*(Session().create_client(s, 'eu-west-1').meta.service_model.service_name for s in {services}))"
    )
    assert in_image(image, program).split() == list(services)


def documented(kind: str, page: Path = ROOT / "docs/writing-a-provider.md") -> str:
    """The one block of that kind on a page, unless another one is named the one about providers."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(), flags=re.M | re.S)
    return str(found)


@contextlib.contextmanager
def with_plugin(image: str, package: Path, dockerfile: str) -> Iterator[str]:
    """An image with the package in it, made by a documented Dockerfile, until the context ends."""
    tag = f"localhost/plugin:test-{uuid4().hex[:8]}"
    here = dockerfile.replace("refresher:0.1.0", image).replace("python:3.12-slim", kit.SHELL)
    (package / "Dockerfile").write_text(here)
    kit.build(tag, package)
    try:
        yield tag
    finally:
        podman("rmi", tag)


def test_a_plugin_is_added_as_it_is_documented(image: str, tmp_path: Path, volume: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "my_sqlite.py").write_text(documented("python provider"))
    (package / "pyproject.toml").write_text(documented("toml"))
    arguments = mounted(tmp_path, volume, {"source": {"sqlite": {"database": "/etc/refresher/db", "name": "greeting"}}})
    with closing(sqlite3.connect(tmp_path / "config/db")) as database, database:
        database.execute("create table settings (name text, version integer, value text)")
        database.execute("insert into settings values ('greeting', 1, 'hello')")
    with with_plugin(image, package, documented("dockerfile")) as tag:
        podman("run", "--rm", ALONE, *CONFINED, *arguments, tag, "once")
    assert (volume / "settings/greeting").read_text() == "hello"


def test_the_example_of_a_plugin_is_added_with_its_library(image: str, tmp_path: Path, volume: Path) -> None:
    package, dockerfile = (
        shutil.copytree(EXAMPLE, tmp_path / "package"),
        documented("dockerfile", EXAMPLE / "README.md"),
    )
    with git_repository(tmp_path) as repository, with_plugin(image, package, dockerfile) as tag:
        repository.commit({"config/settings.json": b"{}"})
        url = repository.url.replace("127.0.0.1", "10.0.2.2")
        arguments = mounted(tmp_path, volume, {"source": {"git": {"url": url, "path": "config"}}})
        podman("run", "--rm", TO_THIS_MACHINE, *CONFINED, *arguments, tag, "once")
    assert (volume / "settings/settings.json").read_text() == "{}"


LEAVING_ONE = """
import subprocess, sys
waiting = "import os, time\\nwhile not os.path.exists('/shared/go'): time.sleep(0.05)"
subprocess.Popen([sys.executable, "-c", waiting])
"""
OTHERS = """
import os
print(*({name for name in os.listdir("/proc") if name.isdecimal()} - {"1", str(os.getpid())}))
"""


def test_what_a_command_left_in_the_background_is_no_zombie_when_it_has_ended(
    image: str, tmp_path: Path, volume: Path
) -> None:
    python = "/opt/venv/bin/python"
    notify = [{"command": {"argv": [python, "-c", LEAVING_ONE]}}]
    asset = {"source": "file:///etc/refresher/settings.json", "notify": notify}
    with running(image, *mounted(tmp_path, volume, asset)) as name:
        until(lambda: podman("exec", name, python, "-c", OTHERS).split(), within=60)
        (volume / "go").touch()
        until(lambda: not podman("exec", name, python, "-c", OTHERS).split(), within=60)


def test_it_ends_by_itself_when_its_pod_does(image: str, tmp_path: Path, volume: Path) -> None:
    asset = {"source": "file:///etc/refresher/settings.json"}
    with running(image, *mounted(tmp_path, volume, asset)) as name:
        until((volume / "settings/settings.json").exists, within=60)
        podman("stop", "--time=30", name)
        # Whoever has to be killed at the end of the grace period ends with 137.
        assert podman("inspect", "--format={{.State.ExitCode}}", name).strip() == "0"
