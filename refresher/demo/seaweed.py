"""SeaweedFS, an S3-compatible store, on loopback."""

import contextlib
import json
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import botocore.session
import urllib3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from refresher.demo.process import program, running

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STARTS = 3
"""Attempts: a port that was free a moment ago can belong to somebody else when the server takes it."""
LISTENERS = ("master.port", "volume.port", "filer.port", "s3.port")


@dataclass(frozen=True, kw_only=True)
class SeaweedFS:
    """A running server: where it is and how to log in."""

    endpoint_url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    @classmethod
    @contextlib.contextmanager
    def started(cls, directory: Path) -> Iterator["SeaweedFS"]:
        """A server with its data in `directory`, until the context ends. RuntimeError if it doesn't come up."""
        with contextlib.ExitStack() as stack:
            yield _first(directory, stack)

    def client(self) -> "S3Client":
        """A client that is logged in."""
        client = botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}),
        )
        return cast("S3Client", client)

    def bucket(self, name: str) -> str:
        """Make a bucket; answers its name, 3 to 63 characters of `[a-z0-9-]`."""
        with contextlib.closing(self.client()) as client:
            client.create_bucket(Bucket=name)
        return name


def _first(directory: Path, stack: contextlib.ExitStack) -> SeaweedFS:
    for attempt in range(1, STARTS + 1):
        try:
            return stack.enter_context(_once(directory / str(attempt)))
        except RuntimeError:
            if attempt == STARTS:
                raise
    raise AssertionError


@contextlib.contextmanager
def _once(directory: Path) -> Iterator[SeaweedFS]:
    directory.mkdir(parents=True)
    names = [*LISTENERS, *(f"{name}.grpc" for name in LISTENERS)]
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    server = SeaweedFS(
        endpoint_url=f"http://127.0.0.1:{ports['s3.port']}",
        access_key=secrets.token_hex(10),
        secret_key=secrets.token_hex(20),
    )
    argv = [*_argv(directory, server), *(f"-{name}={port}" for name, port in ports.items())]
    try:
        with running(argv, log=directory / "log", answers=lambda: _answers(server)) as child:
            try:
                yield server
            finally:
                # Asked to end it waits for its own connections; the data is thrown away, so it need not be careful.
                child.kill()
    finally:
        for port in ports.values():
            for socket_file in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket_file.unlink(missing_ok=True)


def _free_ports(count: int) -> list[int]:
    """Different free ports: all are held until the last is found."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def _argv(directory: Path, server: SeaweedFS) -> list[str]:
    credentials = [{"accessKey": server.access_key, "secretKey": server.secret_key}]
    identity = {"name": "demo", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    config = directory / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    return [
        program("weed"),
        "-logtostderr=true",
        "server",
        "-s3",
        f"-s3.config={config}",
        f"-dir={directory}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3.ip.bind=127.0.0.1",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.peers=none",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=2000",
        "-volume.preStopSeconds=0",
    ]


def _answers(server: SeaweedFS) -> bool:
    """Whether an object can be stored. Asked too early, the server spends seconds on retries of its own."""
    with urllib3.PoolManager() as pool:
        try:
            if pool.request("GET", f"{server.endpoint_url}/healthz", retries=False, timeout=2).status != 200:
                return False
        except urllib3.exceptions.HTTPError:
            return False
    return _stores(server)


def _stores(server: SeaweedFS) -> bool:
    bucket = "is-it-up"
    with contextlib.closing(server.client()) as client:
        try:
            client.create_bucket(Bucket=bucket)
            client.put_object(Bucket=bucket, Key="probe", Body=b"x")
            client.delete_object(Bucket=bucket, Key="probe")
            client.delete_bucket(Bucket=bucket)
        except (BotoCoreError, ClientError):
            return False
    return True
