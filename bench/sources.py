"""The files that are moved, the same ones on an S3 server and on a web server."""

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import urllib3

from refresher.demo.caddy import Caddy
from refresher.demo.process import free_port, running
from refresher.demo.seaweed import SeaweedFS

BUCKET = "bench"
LIST = "SHA256SUMS"
BLOCK = 1024 * 1024
UPLOADS = 8
NGINX = """\
{user}
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
worker_processes auto;
events {{}}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {root};
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`count` files of `size` bytes each, in a directory or below a prefix of that name."""

    name: str
    count: int
    size: int

    @property
    def files(self) -> list[str]:
        """The files' names, in order; beside them is the list of their digests."""
        return [f"part-{number:04d}.bin" for number in range(self.count)]

    @property
    def mib(self) -> float:
        """All files together."""
        return self.count * self.size / 2**20

    @property
    def shown(self) -> str:
        """The load in words."""
        size = f"{self.size / 2**20:g} MiB" if self.size >= 2**20 else f"{self.size / 2**10:g} KiB"
        return f"{self.count} x {size}"

    def make(self, root: Path) -> None:
        """Write the files with random content, and their list as `openssl dgst -r` would."""
        directory = root / self.name
        directory.mkdir()
        self.write_list(directory, [written(directory / name, self.size) for name in self.files])

    def write_list(self, directory: Path, digests: Sequence[str]) -> None:
        """Write the list of these digests, in the files' order."""
        lines = [f"{digest} *{name}\n" for digest, name in zip(digests, self.files, strict=True)]
        (directory / LIST).write_text("".join(lines))


def written(file: Path, size: int) -> str:
    """Write so many random bytes; answers their SHA-256."""
    seen = hashlib.sha256()
    with file.open("wb") as output:
        for start in range(0, size, BLOCK):
            block = os.urandom(min(BLOCK, size - start))
            seen.update(block)
            output.write(block)
    return seen.hexdigest()


def store(s3: SeaweedFS, root: Path, load: Load, *, names: Sequence[str]) -> None:
    """Put these of the load's files, and the list of all, into the bucket; big ones in parts, as boto3 does."""
    import boto3  # comes with the `bench` extra, and tests of this module do without

    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        region_name=s3.region,
    )
    with contextlib.closing(client), ThreadPoolExecutor(UPLOADS) as pool:

        def put(name: str) -> None:
            client.upload_file(str(root / load.name / name), BUCKET, f"{load.name}/{name}")

        list(pool.map(put, [*names, LIST]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """A web server of the files: where it is and what it is called."""

    url: str
    program: str


@contextlib.contextmanager
def web(directory: Path) -> Iterator[Web]:
    """nginx if this machine has it, else Caddy, serving `directory/root`."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        with Caddy.started(directory) as caddy:
            yield Web(url=caddy.url, program="Caddy")
        return
    port = free_port()
    config = directory / "nginx.conf"
    # Started by root, its workers would be somebody who may not read a temporary directory.
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(NGINX.format(user=user, directory=directory, root=directory / "root", port=port))
    url = f"http://127.0.0.1:{port}"
    argv = [nginx, "-e", str(directory / "error.log"), "-c", str(config)]
    with running(argv, log=directory / "nginx.log", answers=lambda: _answers(url)):
        yield Web(url=url, program=_version(nginx))


def _answers(url: str) -> bool:
    with urllib3.PoolManager() as pool, contextlib.suppress(urllib3.exceptions.HTTPError):
        return pool.request("GET", url, retries=False, timeout=2).status < 500
    return False


def _version(nginx: str) -> str:
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().rpartition(": ")[2]
