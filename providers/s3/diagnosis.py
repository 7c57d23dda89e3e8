"""Looking at a bucket without fetching: the endpoint, the credentials and where they are from, what they may do.

With connections and credentials of its own, so that what it finds is what a start would find.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

from providers.reachable import PATIENCE, reached, server_time
from providers.s3.clients import Clients, Login
from providers.s3.listing import MOST_POINTER, pointed_to
from providers.s3.objects import Objects
from providers.s3.options import S3Options
from providers.s3.troubles import LoginRefusedError, NoLoginError, translating
from refresher.abilities import Observation
from refresher.errors import PermanentError, RefresherError

LINKS = {
    "env": "the environment",
    "shared-credentials-file": "the credentials file",
    "config-file": "the configuration file",
    "assume-role": "role_arn, taken with the chain's own",
    "assume-role-with-web-identity": "the web identity token (IRSA)",
    "container-role": "the container's endpoint (EKS Pod Identity, ECS)",
    "iam-role": "the instance's metadata service",
    "sso": "a single sign-on session",
    "custom-process": "a credential_process",
}
"""botocore's names for the links of its chain (botocore.credentials, `METHOD`)."""


def diagnosis(options: S3Options) -> Iterator[Observation]:
    """Each observation as it is made. Raises what a fetch would."""
    with closing(Clients(read_timeout=PATIENCE)) as clients:
        with translating(options.place):
            login = clients.login(options)
        endpoint = str(login.client.meta.endpoint_url)
        if (yield from reached(endpoint, context=login.trusted.context)):
            clock = _ServerClock(login)
            yield _credentials(login, options)
            yield from _rights(Objects(options, clients), clock)


class _ServerClock:
    """What the server's clock showed at its last answer, a refusal too."""

    def __init__(self, login: Login) -> None:
        self.last: datetime | None = None
        login.client.meta.events.register("after-call.s3", self._note)

    def _note(self, http_response: Any, **_: object) -> None:
        self.last = server_time(http_response.headers.get("Date"))


def _credentials(login: Login, options: S3Options) -> Observation:
    with translating(options.place):
        client: Any = login.client
        found = client._request_signer._credentials
        if found is None:
            raise NoLoginError(f"{options.place} can't be asked: no link of the chain has credentials")
        found.get_frozen_credentials()  # those that a token service gives are asked for now
    return Observation.ok("credentials", f"from {LINKS.get(found.method, found.method)}")


def _rights(objects: Objects, clock: _ServerClock) -> Iterator[Observation]:
    options, prefix = objects.options, objects.options.prefix or ""
    if options.key is not None:
        yield from _got(options.key, objects, clock)
        return
    try:
        if options.current is not None:
            prefix = pointed_to(objects.text(options.current, MOST_POINTER), options.place)
            yield Observation.ok("pointer", f"{options.place} names {prefix}", server_time=clock.last)
        page, _ = next(objects.pages(prefix))
    except RefresherError as error:
        yield Observation.fail("right to list", str(error), _advice(error, "s3:ListBucket"), server_time=clock.last)
        return
    keys = [found.get("Key", "") for found in page.get("Contents", []) if found.get("Size")]
    if not keys:
        seen = f"s3://{options.bucket}/{prefix} has no objects with content, and nothing empty is published"
        yield Observation.fail(
            "right to list", seen, "Correct prefix, or put the objects there.", server_time=clock.last
        )
        return
    more = "or more " if page.get("IsTruncated") else ""
    yield Observation.ok(
        "right to list", f"{len(keys)} {more}objects below {prefix or 'the bucket'}", server_time=clock.last
    )
    yield from _got(keys[0], objects, clock)


def _got(key: str, objects: Objects, clock: _ServerClock) -> Iterator[Observation]:
    """A HEAD needs the right to get."""
    version = objects.options.version_id
    try:
        head, _ = objects.head(key, {"VersionId": version} if version else {})
    except RefresherError as error:
        yield Observation.fail("right to get", str(error), _advice(error, "s3:GetObject"), server_time=clock.last)
        return
    yield Observation.ok("right to get", f"{key} has {head.get('ContentLength')} bytes", server_time=clock.last)


def _advice(error: RefresherError, right: str) -> str:
    text = str(error)
    if "RequestTimeTooSkewed" in text:
        return "Set this machine's clock right: S3 refuses what was signed 15 minutes ago or later than now."
    if "NoSuchBucket" in text:
        return "Correct bucket, endpoint_url or region."
    if "(404)" in text:
        return "Correct key, prefix or bucket, or put the object there."
    if isinstance(error, LoginRefusedError):
        return f"Compare the credentials with those that the store knows, and see that they have {right} there."
    if isinstance(error, PermanentError):
        return f"Give these credentials {right} there, or correct bucket and key."
    return "Look into the store's own log; it may pass."
