"""One object as a file: every read of it is pinned to the version or ETag that was found."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import urllib3

from providers.s3.checksums import Checksum, PartsCheck, WholeCheck
from providers.s3.clients import Route
from providers.s3.objects import Objects
from providers.streams import BodyStream, content_range
from refresher.abilities import Check
from refresher.contract import ByteStream
from refresher.errors import TransientError

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class S3File:
    """A `RemoteFile` that is one object; `version` is None where the bucket keeps none."""

    objects: Objects
    route: Route
    name: str
    key: str
    size: int
    etag: str
    version: str | None = None
    checksum: Checksum | None = None
    told: bool = False
    """Whether the server was asked for the checksum, so that None means that there is none."""

    sensitive: ClassVar[bool] = False
    ranged: ClassVar[bool] = True

    @property
    def revision(self) -> str:
        """The key and what it is pinned to; ETags of other keys can be equal and mean other bytes."""
        return f"{self.key} {self.version or self.etag}"

    @property
    def digest(self) -> str | None:
        """The SHA-256 that the server keeps with the object, if it was asked and has one. The ETag is never one."""
        return self.checksum.digest if self.checksum else None

    def open(self, offset: int = 0) -> ByteStream:
        """The content from `offset` on. TransientError if the object changed."""
        return self._opened(offset, self.size - offset) if offset else self._whole()

    def open_range(self, offset: int, size: int) -> ByteStream:
        """`size` bytes from `offset` on. TransientError if the object changed."""
        return self._opened(offset, size)

    def check(self) -> Check | None:
        """What the server's checksum has to be compared with; None if it sends none whose parts are known."""
        if not self.told:
            head, _ = self.objects.head(self.key, self._pin, reading=True)
            self._learn(head["ResponseMetadata"]["HTTPHeaders"])
        if self.checksum is None:
            return None
        return self._check_of_parts(self.checksum) if self.checksum.parts else WholeCheck(self.checksum, self.name)

    @property
    def _pin(self) -> Mapping[str, Any]:
        return {"VersionId": self.version} if self.version else {"IfMatch": self.etag}

    def _whole(self) -> ByteStream:
        response = self._asked({"x-amz-checksum-mode": "ENABLED"}, status=200)
        if not self.told:
            self._learn(response.headers)
        return self._stream(response, 0, self.size)

    def _opened(self, offset: int, size: int) -> ByteStream:
        response = self._asked({"Range": f"bytes={offset}-{offset + size - 1}"}, status=206)
        return self._stream(response, offset, size)

    def _asked(self, headers: Mapping[str, str], *, status: int) -> urllib3.BaseHTTPResponse:
        pinned = {} if self.version else {"If-Match": self.etag}
        return self.objects.body(self.route, self.key, self.version, {**pinned, **headers}, status=status)

    def _stream(self, response: urllib3.BaseHTTPResponse, offset: int, size: int) -> ByteStream:
        # The length is the one that was asked for: a chunked answer has none of its own.
        stream = BodyStream(response, length=size, name=self.name)
        part = response.status == 206
        found = content_range(response.headers.get("Content-Range", "")) if part else (0, self.size)
        length = response.headers.get("Content-Length", str(size))
        if (response.headers.get("ETag"), found, length) != (self.etag, (offset, self.size), str(size)):
            stream.close()
            raise TransientError(f"{self.objects.options.place}: {self.name} changed while it was fetched")
        return stream

    def _learn(self, headers: Mapping[str, str]) -> None:
        self.checksum, self.told = Checksum.told(headers), True

    def _check_of_parts(self, checksum: Checksum) -> Check | None:
        sizes = self.objects.part_sizes(self.key, checksum.parts, self._pin)
        if sizes is None or sum(sizes) != self.size:
            _log.info("%s: the server doesn't tell the sizes of its parts, so its checksum isn't compared", self.name)
            return None
        return PartsCheck(checksum, self.name, sizes)
