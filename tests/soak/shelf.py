"""Large files on real servers, behind a valve: put there, replaced, and named in a configuration."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import urllib3

from refresher.demo.caddy import Caddy
from refresher.demo.seaweed import SeaweedFS

MiB = 1024 * 1024
MB = 1_000_000
PART = 32 * MiB
"""Bytes of each part of an upload."""


@dataclass(frozen=True, slots=True)
class Original:
    """A file as it was put on a shelf: its SHA-256, and what the server calls this version."""

    digest: str
    revision: str


class Shelf(Protocol):
    """Where a source finds large files."""

    @property
    def url(self) -> str:
        """The server's address."""
        ...

    def ready(self, name: str, content: Path) -> Callable[[], str]:
        """Bring a file there; once this is called it is in place of the one that has the name, under this revision."""
        ...

    def source(self, name: str, url: str) -> dict[str, Any]:
        """The source of the file, of a name with a final slash all files below, asked at this address."""
        ...

    def environment(self) -> Mapping[str, str]:
        """The login."""
        ...


@dataclass(frozen=True)
class OverHttp:
    """A web server's files."""

    caddy: Caddy

    @property
    def url(self) -> str:
        return self.caddy.url

    def ready(self, name: str, content: Path) -> Callable[[], str]:
        hidden = self.caddy.root / f".{uuid4().hex}"
        os.link(content, hidden)

        def put() -> str:
            hidden.rename(self.caddy.root / name)
            return urllib3.request("HEAD", f"{self.url}/{name}").headers["ETag"]

        return put

    def source(self, name: str, url: str) -> dict[str, Any]:
        return {"http": {"url": f"{url}/{name}"}}

    def environment(self) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True)
class OverS3:
    """A bucket's objects."""

    store: SeaweedFS
    bucket: str

    @property
    def url(self) -> str:
        return self.store.endpoint_url

    def ready(self, name: str, content: Path) -> Callable[[], str]:
        with contextlib.closing(self.store.client()) as client, content.open("rb") as file:
            place: dict[str, Any] = {"Bucket": self.bucket, "Key": name}
            place["UploadId"] = client.create_multipart_upload(**place)["UploadId"]
            parts = [
                {"PartNumber": number, "ETag": client.upload_part(**place, PartNumber=number, Body=part)["ETag"]}
                for number, part in enumerate(iter(lambda: file.read(PART), b""), 1)
            ]

        def put() -> str:
            with contextlib.closing(self.store.client()) as client:
                return client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})["ETag"]  # type: ignore[typeddict-item]

        return put

    def source(self, name: str, url: str) -> dict[str, Any]:
        below = {"prefix" if name.endswith("/") else "key": name}
        return {"s3": {"bucket": self.bucket, "endpoint_url": url, "region": self.store.region, **below}}

    def environment(self) -> Mapping[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.store.access_key, "AWS_SECRET_ACCESS_KEY": self.store.secret_key}


@contextlib.contextmanager
def shelves() -> Iterator[tuple[Path, dict[str, Shelf]]]:
    """A directory, and a shelf of each kind in it."""
    with tempfile.TemporaryDirectory(prefix="refresher-soak-") as root, contextlib.ExitStack() as running:
        directory = Path(root)
        (directory / "caddy").mkdir()
        caddy = running.enter_context(Caddy.started(directory / "caddy"))
        store = running.enter_context(SeaweedFS.started(directory / "seaweed"))
        yield directory, {"HTTP": OverHttp(caddy), "S3": OverS3(store, store.bucket("models"))}


def put(shelf: Shelf, name: str, content: Path) -> Original:
    """Put a file there, which is not needed here any more."""
    original = Original(digest_of(content), shelf.ready(name, content)())
    content.unlink()
    return original


def written(path: Path, size: int) -> Path:
    """A new file of `size` bytes that nobody has seen before."""
    with path.open("wb") as file:
        for offset in range(0, size, MiB):
            file.write(os.urandom(min(MiB, size - offset)))
    return path


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, as refresher writes it."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
