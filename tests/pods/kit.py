"""The kit that runs real pods on one machine: `python -m tests.pods.kit` makes the machine ready for it.

It is no part of this project: a podman that works without a registry, and a small kubelet on top of it that runs
manifests as they are written. POD_KIT names its directory, relative to the project's.
"""

import functools
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DIRECTORY = (ROOT / os.environ.get("POD_KIT", "../shared/pods")).resolve()
PYTHON = "localhost/python-base:3.12-distroless"
"""A main container's image: Python, no shell."""
NGINX = "localhost/nginx:local"
"""A main container's image: nginx, and a busybox shell."""
SHELL = "localhost/python-base:3.12-builder"
"""A main container's image: a busybox shell, among other things."""

MISSING = f"""\
There is no pod kit in {DIRECTORY}; POD_KIT names its directory.
The same manifests run in a cluster of your own, for example in kind:

    docker build -t refresher:0.1.0 .
    kind load docker-image refresher:0.1.0
    kubectl apply -f examples/quickstart/pod.yaml

CONTRIBUTING.md, "Against a cluster of your own", says what to look at then."""

# Where the kit writes its engine's configuration, unless it is told; everything that calls podman has to know.
_CACHE = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
os.environ.setdefault("CONTAINERS_CONF", f"{_CACHE}/refresher-pods/containers.conf")


class MissingKitError(Exception):
    """There is no kit; the message says what to do instead."""


def prepare() -> None:
    """Install what the kit needs, and make its images; fast where they are."""
    subprocess.run([_part("setup-podman.sh")], check=True)


def build(tag: str, context: Path = ROOT) -> None:
    """An image, of this project unless somebody says otherwise, from the Dockerfile there."""
    subprocess.run([_part("build.sh"), tag, context], check=True, stdout=subprocess.DEVNULL)


def podman(*arguments: str) -> str:
    """What it prints. Raises subprocess.CalledProcessError."""
    return subprocess.run(["podman", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


@functools.cache
def kubelet() -> Mapping[str, Any]:
    """The kit's `Pod` and `PodError`. Run and not imported, because importing writes byte code beside the kit."""
    return runpy.run_path(str(_part("podrun.py")))


def _part(name: str) -> Path:
    if not (DIRECTORY / name).is_file():
        raise MissingKitError(MISSING)
    return DIRECTORY / name


if __name__ == "__main__":
    try:
        prepare()
    except MissingKitError as error:
        sys.exit(str(error))
