"""botocore's side: a client for each endpoint and login, and requests that botocore signs and urllib3 sends.

A body that botocore moves costs twice the processor time of the plain request: so botocore finds the bucket's address
and signs, and the body comes over connections of our own. The signature is in a header: no URL holds one.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit

import botocore.session
import urllib3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.httpsession import get_cert_path

from providers.connections import Certificates, Connections, Contexts
from providers.deadline import PacedHttpPool, PacedHttpsPool
from providers.s3.options import S3Options
from providers.s3.sessions import CONNECT, session

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LOOKS = ("GetObject", "HeadObject", "ListObjectsV2")
"""The operations that show where a bucket is."""
ENDPOINT = ("signing_name", "identity_cache", "cache_key")
"""What an endpoint can want for its signature beside a region; the latter two are those of directory buckets."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where botocore found a bucket, region redirects followed, and what requests to it are signed for."""

    bucket_url: str
    signed_for: Mapping[str, Any]

    def url(self, key: str, version: str | None) -> str:
        """The object's URL, encoded as botocore does it: the signature covers the exact text."""
        query = f"?versionId={quote(version, safe='')}" if version else ""
        return f"{self.bucket_url}/{quoted(key)}{query}"


def quoted(key: str) -> str:
    """The key as the path of a URL."""
    return quote(key, safe="/~")


class Login:
    """One client with its credentials and connections. `spent` once they were refused: the next look needs new ones.

    `trusted` are the authorities that its endpoint's certificate may come from.
    `read_timeout` is in seconds, for each read of an answer; its headers have twice as long for the whole of them.
    """

    def __init__(self, options: S3Options, *, read_timeout: float, contexts: Contexts) -> None:
        self.spent = False
        self._noted = threading.local()
        made = session(options, read_timeout=read_timeout)
        self.client = _client(made, options)
        for operation in LOOKS:
            self.client.meta.events.register(f"before-sign.s3.{operation}", self._note)
        self.trusted = _trusted(made)
        self._connections = Connections(
            self.trusted, contexts=contexts, timeout=urllib3.Timeout(connect=CONNECT, read=read_timeout)
        )

    def route(self, key: str = "") -> Route:
        """Where this thread's last look went: at the object `key`, or at the bucket."""
        url, signed_for = self._noted.last
        return Route(url.removesuffix(quoted(key)).rstrip("/"), signed_for)

    def get(self, route: Route, key: str, version: str | None, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """The answer, its body unread, asked with the credentials of this moment. Raises botocore's and urllib3's."""
        url = route.url(key, version)
        request = AWSRequest("GET", url, headers=dict(headers))
        client: Any = self.client
        client._request_signer.get_auth_instance(**route.signed_for).add_auth(request)
        sent = {"Accept-Encoding": "identity", "User-Agent": "refresher", **dict(request.headers.items())}
        return self._connections.get(url, sent, with_certificate=False)

    def close(self) -> None:
        """Close all idle connections."""
        self.client.close()
        self._connections.close()

    def _note(
        self, request: AWSRequest, signing_name: str, region_name: str, signature_version: str, **_: object
    ) -> None:
        """What botocore's event `before-sign` shows; called in the thread that asks."""
        # As botocore's own signing does: what the endpoint asks for goes before what the client was made with.
        endpoint = request.context.get("signing", {})
        found = {
            "signing_name": signing_name,
            "region_name": endpoint.get("region") or region_name,
            "signature_version": signature_version,
        }
        found |= {name: endpoint[name] for name in ENDPOINT if endpoint.get(name) is not None}
        self._noted.last = urlsplit(str(request.url))._replace(query="").geturl(), found


def _client(made: botocore.session.Session, options: S3Options) -> "S3Client":
    config = Config(
        s3={"addressing_style": options.addressing_style},
        # Checksums are compared while the file arrives, and not every server that speaks S3 sends them.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = made.create_client("s3", endpoint_url=options.endpoint_url, region_name=options.region, config=config)
    _pace(client)
    return cast("S3Client", client)


def _trusted(made: botocore.session.Session) -> Certificates:
    """The authorities that botocore trusts, from the environment, its configuration, or its own list."""
    return Certificates(Path(str(made.get_config_variable("ca_bundle") or get_cert_path(verify=True))))


def _pace(client: Any) -> None:
    """Bound the time for an answer's headers, which botocore has no option for, as it has none for its pools."""
    pools = client._endpoint.http_session._pool_classes_by_scheme
    pools.update(http=PacedHttpPool, https=PacedHttpsPool)


class Clients:
    """One `Login` for all sources with the same endpoint and identity."""

    def __init__(self, *, read_timeout: float = 15) -> None:
        self._read_timeout, self._contexts = read_timeout, Contexts()
        self._lock = threading.Lock()
        self._logins: dict[tuple[str | None, ...], Login] = {}
        self._users: Counter[tuple[str | None, ...]] = Counter()

    def join(self, options: S3Options) -> None:
        """One more source with its endpoint and identity."""
        with self._lock:
            self._users[_identity(options)] += 1

    def leave(self, options: S3Options) -> None:
        """One less; after the last one its login is closed."""
        key = _identity(options)
        with self._lock:
            self._users[key] -= 1
            unused = self._logins.pop(key, None) if not self._users[key] else None
        if unused:
            unused.close()

    def login(self, options: S3Options) -> Login:
        """The login for this source; made on first use, and anew when it was refused: botocore reads files once."""
        key = _identity(options)
        with self._lock:
            known = self._logins.get(key)
            if known is not None and known.spent:
                self._logins.pop(key).close()
                known = None
            if known is None:
                known = Login(options, read_timeout=self._read_timeout, contexts=self._contexts)
                self._logins[key] = known
            return known

    def close(self) -> None:
        """Close all connections."""
        with self._lock, ExitStack() as closing:
            for login in self._logins.values():
                closing.callback(login.close)
            self._logins.clear()


def _identity(options: S3Options) -> tuple[str | None, ...]:
    role = (options.role_arn, options.external_id, options.role_session_name)
    return (options.endpoint_url, options.region, options.addressing_style, options.profile, *role)
