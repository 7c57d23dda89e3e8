"""One object, or all objects below a prefix, from S3 and what speaks like it.

One object's revision is its version id, in a bucket without versions its ETag; every read is pinned to it. A prefix's
revision is a digest over a listing's keys, ETags and sizes; every read is pinned to the listed ETag, and a second
listing afterwards has to say the same. A prefix without objects is a PermanentError: nothing empty replaces something.
Credentials come from AWS's default chain, and are looked up anew once they are refused.
"""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self
from urllib.parse import unquote, urlsplit

import boto3
import urllib3
from botocore import exceptions as aws
from botocore.config import Config
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from providers.answers import retry_after
from providers.deadline import PacedHttpPool, PacedHttpsPool
from providers.streams import BodyStream, content_range
from refresher.contract import ByteStream, Fetched, Held, Unchanged
from refresher.errors import PermanentError, RefresherError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MOST_OBJECTS = 100_000
"""Keys below a prefix, 100 listing pages; more is a mistake in `prefix`."""
LOGIN_REFUSED = frozenset({"ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch", "403"})
"""Error codes after which the credentials are looked up anew; a HEAD's refusal has no body and so no code but 403."""
AGAIN_SOON = frozenset({"RequestTimeout", "RequestTimeTooSkewed", "SlowDown", "Throttling", "ThrottlingException"})
AGAIN_SOON_STATUS = frozenset({408, 409, 412, 416, 425, 429})
"""412 and 416 answer a read that is pinned to a revision: the object changed."""


class S3Options(BaseModel):
    """Where the objects are: `key`, or `prefix` (empty: the whole bucket; else with its final slash)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    connection: ClassVar[frozenset[str]] = frozenset({"region", "addressing_style"})

    bucket: str = Field(min_length=1)
    key: str | None = Field(default=None, min_length=1)
    prefix: str | None = None
    version_id: str | None = Field(default=None, min_length=1)
    endpoint_url: str | None = None
    region: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    name: str | None = None

    @field_validator("prefix")
    @classmethod
    def _whole_segments(cls, prefix: str | None) -> str | None:
        if prefix and not prefix.endswith("/"):
            raise ValueError("must end with a slash")
        return prefix

    @field_validator("endpoint_url")
    @classmethod
    def _without_login(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "https://default")
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("must be an http:// or https:// URL, without a user name or password")
        return url

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.key is None) == (self.prefix is None):
            raise ValueError("must have exactly one of key and prefix")
        if self.prefix is not None and (self.version_id or self.name):
            raise ValueError("version_id and name are for a single key")
        if self.key is not None and self.file_name in ("", ".", ".."):
            raise ValueError("key must end with a file name, or `name` be one")
        return self

    @property
    def file_name(self) -> str:
        """`name`, else the key's last segment."""
        return self.name if self.name is not None else (self.key or "").rpartition("/")[2]

    @property
    def place(self) -> str:
        """The source as a URL, for messages."""
        return f"s3://{self.bucket}/{self.key if self.key is not None else self.prefix}"


class Clients:
    """One S3 client, with its credentials and connections, for each endpoint that assets use.

    `read_timeout` is in seconds, for each read of an answer; its headers have twice as long for the whole of them.
    """

    def __init__(self, *, read_timeout: float = 15) -> None:
        self._read_timeout = read_timeout
        self._lock = threading.Lock()
        self._clients: dict[tuple[str | None, str | None, str], S3Client] = {}

    def client(self, options: S3Options) -> "S3Client":
        """The client for this source; made on first use."""
        key = (options.endpoint_url, options.region, options.addressing_style)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = _connected(options, self._read_timeout)
            return self._clients[key]

    def forget(self, options: S3Options) -> None:
        """Make a new client at the next use: botocore reads a credentials file only once."""
        with self._lock:
            client = self._clients.pop((options.endpoint_url, options.region, options.addressing_style), None)
        if client is not None:
            client.close()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()


def _connected(options: S3Options, read_timeout: float) -> "S3Client":
    config = Config(
        connect_timeout=5,
        read_timeout=read_timeout,
        max_pool_connections=16,
        retries={"mode": "standard", "total_max_attempts": 1},
        s3={"addressing_style": options.addressing_style},
        # Checksums cover whole objects, not ranges, and not every server that speaks S3 sends them.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # A session of its own: boto3's default one is shared by the process and not safe between threads.
    client = boto3.session.Session().client(
        "s3", endpoint_url=options.endpoint_url, region_name=options.region, config=config
    )
    _pace(client)
    return client


def _pace(client: Any) -> None:
    """Bound the time for an answer's headers, which botocore has no option for, as it has none for its pools."""
    pools = client._endpoint.http_session._pool_classes_by_scheme
    pools.update(http=PacedHttpPool, https=PacedHttpsPool)


@dataclass(frozen=True, slots=True)
class S3File:
    """A `RemoteFile` that is one object, pinned to `pin`: a version id or an ETag, as GetObject takes it."""

    provider: "S3Provider"
    name: str
    key: str
    size: int
    etag: str
    pin: Mapping[str, Any]

    digest: ClassVar[None] = None
    sensitive: ClassVar[bool] = False

    def open(self, offset: int = 0) -> ByteStream:
        """The content from `offset` on. TransientError if the object changed."""
        span: dict[str, Any] = {"Range": f"bytes={offset}-"} if offset else {}
        with self.provider.translating(reading=True):
            answer = self.provider.client.get_object(
                Bucket=self.provider.options.bucket, Key=self.key, **self.pin, **span
            )
        # Entering gives the raw answer, which hands out bytes as they come; BodyStream counts them.
        raw: Any = answer["Body"].__enter__()
        # A chunked answer has no length of its own.
        length = answer.get("ContentLength", self.size - offset)
        stream = BodyStream(raw, length=length, name=self.name)
        found = content_range(answer.get("ContentRange", "")) if offset else (0, length)
        if answer["ETag"] != self.etag or found != (offset, self.size):
            stream.close()
            raise TransientError(f"{self.provider.options.place}: {self.name} changed while it was fetched")
        return stream


class S3Provider:
    """Objects of one bucket. An unchanged object costs one HEAD, an unchanged prefix its listing."""

    Options = S3Options
    Shared = Clients

    def __init__(self, options: S3Options, *, shared: Clients) -> None:
        self.options, self._clients = options, shared

    @classmethod
    def from_url(cls, url: str) -> Mapping[str, Any]:
        """`s3://bucket/key`, `s3://bucket/prefix/` as options. ValueError if there is no bucket, or a login in it."""
        parts = urlsplit(url)
        if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("must be s3://bucket/key or s3://bucket/prefix/")
        path = unquote(parts.path.removeprefix("/"))
        return {"bucket": parts.netloc, "prefix" if not path or path.endswith("/") else "key": path}

    @property
    def client(self) -> "S3Client":
        """The client at this moment."""
        return self._clients.client(self.options)

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        """Ask for the object's head, or for the listing; see `Provider.fetch`."""
        found = self._look()
        if held is not None and held.revision == found.revision:
            yield Unchanged()
            return
        yield found
        # A single object needs no second look: its reads were pinned.
        if self.options.prefix is not None and self._look().revision != found.revision:
            raise TransientError(f"{self.options.place} changed while it was fetched")

    def _look(self) -> Fetched:
        with self.translating():
            return self._object() if self.options.key is not None else self._listing()

    def _object(self) -> Fetched:
        key, version = self.options.key or "", self.options.version_id
        pinned: dict[str, Any] = {"VersionId": version} if version else {}
        head = self.client.head_object(Bucket=self.options.bucket, Key=key, **pinned)
        found, etag = version or head.get("VersionId", "null"), head["ETag"]
        # "null" names whatever an unversioned bucket holds at the moment, so it pins nothing.
        pin = {"VersionId": found} if found != "null" else {"IfMatch": etag}
        file = S3File(self, self.options.file_name, key, head["ContentLength"], etag, pin)
        return Fetched(revision=found if found != "null" else etag, files=[file])

    def _listing(self) -> Fetched:
        files, seen = [], hashlib.sha256()
        prefix = self.options.prefix or ""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.options.bucket, Prefix=prefix)
        for found in (found for page in pages for found in page.get("Contents", [])):
            key, etag, size = found["Key"], found["ETag"], found["Size"]
            if key.endswith("/") and size == 0:
                continue  # what consoles make to show a directory
            seen.update(repr((key, etag, size)).encode())
            files.append(S3File(self, key.removeprefix(prefix), key, size, etag, {"IfMatch": etag}))
            if len(files) > MOST_OBJECTS:
                raise PermanentError(f"{self.options.place} has more than {MOST_OBJECTS} objects")
        if not files:
            raise PermanentError(f"{self.options.place} has no objects, and nothing empty is published")
        return Fetched(revision=seen.hexdigest(), files=files)

    @contextmanager
    def translating(self, *, reading: bool = False) -> Iterator[None]:
        """Raise botocore's errors as ours. What is missing while `reading` was there before, and so it changed."""
        try:
            yield
        except (aws.BotoCoreError, aws.ClientError) as error:
            code, status = _code_and_status(error)
            if code in LOGIN_REFUSED or isinstance(error, (aws.NoCredentialsError, aws.CredentialRetrievalError)):
                self._clients.forget(self.options)
            if reading and status == 404:
                raise TransientError(f"{self.options.place} changed while it was fetched") from error
            raise translated(error, self.options.place) from error


def _code_and_status(error: Exception) -> tuple[str, int]:
    if not isinstance(error, aws.ClientError):
        return "", 0
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return error.response.get("Error", {}).get("Code", ""), status


def _retry_after(error: Exception) -> timedelta | None:
    metadata = error.response.get("ResponseMetadata", {}) if isinstance(error, aws.ClientError) else {}
    return retry_after(urllib3.HTTPHeaderDict(metadata.get("HTTPHeaders", {})))


def translated(error: Exception, place: str) -> RefresherError:
    """What botocore's exceptions mean for the next attempt. Never their text: it can quote what was sent."""
    code, status = _code_and_status(error)
    if status >= 500 or status in AGAIN_SOON_STATUS or code in AGAIN_SOON:
        return TransientError(f"{place}: the server answers {code} ({status})", retry_after=_retry_after(error))
    if status:
        return PermanentError(f"{place}: the server answers {code} ({status})")
    if isinstance(error, (aws.HTTPClientError, aws.ConnectionError)) and not isinstance(error, aws.SSLError):
        return TransientError(f"{place} can't be reached: {type(error).__name__}")
    if isinstance(error, (aws.CredentialRetrievalError, aws.MetadataRetrievalError)):
        return TransientError(f"{place}: no credentials at the moment: {type(error).__name__}")
    return PermanentError(f"{place} can't be asked: {type(error).__name__}")
