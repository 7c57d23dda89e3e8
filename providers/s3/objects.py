"""One bucket asked: by botocore for what there is, by a signed request of our own for what an object holds."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3
from botocore import exceptions as aws

from providers.s3.clients import Clients, Login, Route
from providers.s3.customer_key import customer_headers, customer_key
from providers.s3.options import S3Options
from providers.s3.troubles import LOGIN_REFUSED, LoginRefusedError, SpentLoginError, accepted, answer_of, translating
from refresher.errors import PermanentError

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef, ListObjectsV2OutputTypeDef

MOST_PARTS = 1000
"""Parts that are asked for one by one, where the server doesn't list their sizes."""
NOT_TOLD = frozenset({400, 403, 405, 501})
"""What a server answers that doesn't know a request, or doesn't permit it."""
T = TypeVar("T")


class Objects:
    """The bucket's objects. A refused login is replaced once, within the request that finds out.

    All raise TransientError and PermanentError, and no vendor's.
    """

    def __init__(self, options: S3Options, clients: Clients) -> None:
        self.options, self._clients = options, clients

    def head(
        self, key: str, pinned: Mapping[str, Any], *, reading: bool = False
    ) -> tuple["HeadObjectOutputTypeDef", Route]:
        """The object's facts, its checksum among them, and where its bucket is; `reading`: it was there before."""
        asked = {**self._where(key), **pinned, "ChecksumMode": "ENABLED"}
        return self._asked(lambda login: (login.client.head_object(**asked), login.route(key)), reading=reading)

    def text(self, key: str, limit: int) -> bytes:
        """A small object's content, of which at most `limit` + 1 bytes are read."""
        return self._asked(lambda login: _beginning(login.client.get_object(**self._where(key)), limit))

    def pages(self, prefix: str) -> Iterator[tuple["ListObjectsV2OutputTypeDef", Route]]:
        """The listing of what is below, a thousand objects a page."""
        asked: dict[str, Any] = {"Bucket": self.options.bucket, "Prefix": prefix, **self._payer()}
        while True:
            page, route = self._asked(lambda login: (login.client.list_objects_v2(**asked), login.route()))
            yield page, route
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken")
            if not token or token == asked.get("ContinuationToken"):
                raise PermanentError(f"{self.options.place}: the server's listing never ends")
            asked["ContinuationToken"] = token

    def body(
        self, route: Route, key: str, version: str | None, headers: Mapping[str, str], *, status: int
    ) -> urllib3.BaseHTTPResponse:
        """The answer to a GET with these headers, which has this status, its body unread."""
        sent = {**headers, **self._customer_headers()}
        if self.options.request_payer:
            sent["x-amz-request-payer"] = self.options.request_payer

        def read(login: Login) -> urllib3.BaseHTTPResponse:
            return accepted(login.get(route, key, version, sent), self.options.place, status=status)

        return self._asked(read, reading=True)

    def part_sizes(self, key: str, count: int, pinned: Mapping[str, Any]) -> list[int] | None:
        """The sizes in bytes of the object's `count` parts; None if the server tells them in no way."""
        for tell in (self._listed_sizes, self._sizes_one_by_one):
            sizes = tell(key, count, pinned)
            if len(sizes) == count:
                return sizes
        return None

    def _listed_sizes(self, key: str, count: int, pinned: Mapping[str, Any]) -> list[int]:
        asked = {**self._where(key), "ObjectAttributes": ["ObjectParts"]}
        asked |= {name: value for name, value in pinned.items() if name == "VersionId"}
        sizes: list[int] = []
        while len(sizes) < count:
            found = self._if_allowed(lambda login: login.client.get_object_attributes(**asked))
            parts = found.get("ObjectParts", {}) if found else {}
            sizes += [part.get("Size", 0) for part in parts.get("Parts", [])]
            marker = parts.get("NextPartNumberMarker", 0)
            # A list that doesn't go on would be asked for without end.
            if not parts.get("IsTruncated") or marker <= asked.get("PartNumberMarker", 0):
                break
            asked["PartNumberMarker"] = marker
        return sizes

    def _sizes_one_by_one(self, key: str, count: int, pinned: Mapping[str, Any]) -> list[int]:
        sizes: list[int] = []
        for number in range(1, count + 1 if count <= MOST_PARTS else 0):
            asked = {**self._where(key), **pinned, "PartNumber": number}
            found = self._if_allowed(partial(_part, asked))
            if not found or found.get("PartsCount") != count:
                break
            sizes.append(found["ContentLength"])
        return sizes

    def _if_allowed(self, ask: Callable[[Login], T]) -> T | None:
        """The answer, None from a server that doesn't know the request or doesn't permit it."""

        def asked(login: Login) -> T | None:
            try:
                return ask(login)
            except aws.ClientError as error:
                answer = answer_of(error)
                if answer.code in LOGIN_REFUSED or answer.status not in NOT_TOLD:
                    raise
                return None

        return self._asked(asked, reading=True)

    def _asked(self, ask: Callable[[Login], T], *, reading: bool = False) -> T:
        try:
            return self._once(ask, reading=reading)
        except LoginRefusedError:
            return self._once(ask, reading=reading)

    def _once(self, ask: Callable[[Login], T], *, reading: bool) -> T:
        with translating(self.options.place):
            login = self._clients.login(self.options)
        try:
            with translating(self.options.place, reading=reading):
                return ask(login)
        except SpentLoginError:
            login.spent = True
            raise

    def _where(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.options.bucket, "Key": key, **self._payer(), **self._customer_key()}

    def _payer(self) -> dict[str, Any]:
        return {"RequestPayer": self.options.request_payer} if self.options.request_payer else {}

    def _customer_key(self) -> dict[str, Any]:
        reference = self.options.sse_customer_key
        # Bytes: botocore adds base64 and fingerprint, and quotes a key of another type in its error.
        return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": customer_key(reference)} if reference else {}

    def _customer_headers(self) -> dict[str, str]:
        reference = self.options.sse_customer_key
        return customer_headers(customer_key(reference)) if reference else {}


def _part(asked: dict[str, Any], login: Login) -> "HeadObjectOutputTypeDef":
    return login.client.head_object(**asked)


def _beginning(answer: "GetObjectOutputTypeDef", limit: int) -> bytes:
    body = answer["Body"]
    try:
        content = body.read(limit + 1)
        if len(content) <= limit:
            # Only a read that finds nothing more has botocore compare the length: half a name is another name.
            content += body.read(1)
        return content
    finally:
        body.close()
