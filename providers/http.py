"""One file from an HTTP server.

The revision is the server's ETag, else its Last-Modified when that is strong (RFC 9110, 8.8.2.2), else empty: then
every fetch moves the body, and refresher compares digests. Reading goes on after a break only where the revision is
strong, and in parts only with a strong ETag.

With `wait`, a change is waited for at the server (`http_follow`).

Credentials (Authorization, all configured headers, the client certificate) go to the configured scheme, host and port,
and to nobody that an answer redirects to.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import urllib3

from providers.answers import condition, extended, refuse_content, revision_of, shown, status_error
from providers.connections import Certificates, Connections, Contexts, Origin
from providers.http_file import HttpFile
from providers.http_options import HEADER_VALUE, HttpOptions, plain_url
from providers.reachable import PATIENCE, reached, server_time
from providers.streams import give_back
from providers.unreachable import unreachable
from refresher.abilities import Observation
from refresher.contract import Fetched, Held, Unchanged
from refresher.errors import PermanentError, RefresherError

if TYPE_CHECKING:
    from providers.http_follow import HttpFollow
    from providers.lifeline import Lifeline

TIMEOUT = urllib3.Timeout(connect=5.0, read=15.0)
"""Seconds to connect, and for each read of an answer; its headers have twice as long for the whole of them."""
MOST_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpProvider:
    """One file behind a URL. A later look sends what is held as a condition, so that nothing is moved twice."""

    Options = HttpOptions
    Shared = Contexts

    def __init__(
        self,
        options: HttpOptions,
        *,
        shared: Contexts | None = None,
        timeout: urllib3.Timeout = TIMEOUT,
        lifeline: "Lifeline | None" = None,
    ) -> None:
        self.options = options
        self._certificates = Certificates(options.ca_file, options.cert_file, options.key_file)
        self._ignores_ranges = False
        self._contexts = shared or Contexts()
        self._connections = Connections(self._certificates, contexts=self._contexts, timeout=timeout, lifeline=lifeline)

    @classmethod
    def from_url(cls, url: str) -> Mapping[str, Any]:
        """`https://…` or `http://…` as options. ValueError if the URL can't be one."""
        return {"url": plain_url(url)}

    @property
    def endpoint(self) -> str:
        """The configured server; where it redirects to is its own matter."""
        return str(Origin.of(self.options.url))

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        """One conditional GET; see `Provider.fetch`. All bytes are one answer's, or pinned: no second look."""
        response = self.ask(condition(held.revision) if held else {})
        try:
            file = None if _is_held(response, held) else self._described(response)
        except RefresherError:
            give_back(response)
            raise
        if file is None:
            give_back(response)
            yield Unchanged()
            return
        try:
            yield Fetched(revision=file.answered, files=[file])
        finally:
            self._ignores_ranges = file.ignores_ranges
            file.close()

    @property
    def follows(self) -> bool:
        """Whether the server is to be waited at."""
        return bool(self.options.wait)

    def follow(self, revision: str) -> "HttpFollow":
        """Waiting for another ETag, or Consul index, over a connection that counts for nothing else."""
        from providers.http_follow import HttpFollow, patience  # loaded by those who wait
        from providers.lifeline import Lifeline

        lifeline = Lifeline()
        timeout = patience(self.options.wait)
        patient = HttpProvider(self.options, shared=self._contexts, timeout=timeout, lifeline=lifeline)
        return HttpFollow(patient, revision, longest=self.options.wait, lifeline=lifeline)

    def diagnose(self) -> Iterator[Observation]:
        """Whether the server can be reached and has the file: its headers are asked for, its body stays unread."""
        url = shown(self.options.url)
        if not (yield from reached(self.options.url, context=self._certificates.context)):
            return
        hasty = HttpProvider(self.options, timeout=urllib3.Timeout(connect=PATIENCE, read=PATIENCE))
        try:
            # Not one byte of it as a range: an empty file has none, and a server may answer that with an error.
            response = hasty.ask({})
        except RefresherError as error:
            yield Observation.fail("answer", str(error), _advice(error))
            return
        finally:
            hasty.close()
        give_back(response)
        told = revision_of(response.headers)
        date = server_time(response.headers.get("Date"))
        if told:
            yield Observation.ok("answer", f"{url} answers {response.status}, revision {told}", server_time=date)
        else:
            seen = (
                f"{url} answers {response.status}, with neither ETag nor Last-Modified: each look moves the whole file"
            )
            yield Observation.warn("answer", seen, "Have the server send an ETag.", server_time=date)

    def _described(self, response: urllib3.BaseHTTPResponse) -> HttpFile:
        return HttpFile(self.options.file_name, response, self.ask, ignores_ranges=self._ignores_ranges)

    def close(self) -> None:
        """Close all idle connections."""
        self._connections.close()

    def ask(self, headers: Mapping[str, str], *, query: str = "") -> urllib3.BaseHTTPResponse:
        """GET, redirects followed: an answer 200, 206 or 304 whose body hasn't been read. Raises for all others.

        `query` is added to the URL's own.
        """
        url, own = extended(self.options.url, query), Origin.of(self.options.url)
        login: dict[str, str] | None = self._login()
        for _ in range(MOST_REDIRECTS + 1):
            at_home = Origin.of(url) == own and login is not None
            response = self._get(url, {**headers, **(login or {})} if at_home else headers, at_home=at_home)
            if response.status not in REDIRECTS:
                return self._accepted(response, asked=headers)
            # Once away from home the login stays behind, even if a stranger sends us back with a path of his choice.
            url, login = self._redirected(url, response), login if at_home else None
        raise PermanentError(f"{shown(self.options.url)} redirects more than {MOST_REDIRECTS} times")

    def _get(self, url: str, headers: Mapping[str, str], *, at_home: bool) -> urllib3.BaseHTTPResponse:
        sent = {"Accept-Encoding": "identity", "User-Agent": "refresher", **headers}
        try:
            return self._connections.get(url, sent, with_certificate=at_home)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(error, shown(url)) from error

    def _redirected(self, url: str, response: urllib3.BaseHTTPResponse) -> str:
        give_back(response)
        location = response.headers.get("Location", "")
        try:
            target = plain_url(urlsplit(urljoin(url, location))._replace(fragment="").geturl())
        except ValueError:
            raise PermanentError(f"{shown(url)} redirects to what is no plain HTTP URL") from None
        if Origin.of(url).is_secure and not Origin.of(target).is_secure:
            raise PermanentError(f"{shown(url)} redirects from https to http, which is refused")
        return target

    def _accepted(self, response: urllib3.BaseHTTPResponse, *, asked: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        url = shown(self.options.url)
        try:
            if response.status == 304 and asked.keys() & {"If-None-Match", "If-Modified-Since"}:
                return response
            # A part that nobody asked for would pass for the whole.
            if response.status != 200 and not (response.status == 206 and "Range" in asked):
                raise status_error(response, url)
            refuse_content(response, self.options.file_name, url)
        except RefresherError:
            give_back(response)
            raise
        return response

    def _login(self) -> dict[str, str]:
        options = self.options
        headers = {name: v if isinstance(v, str) else v.read() for name, v in options.headers.items()}
        if options.token:
            headers["Authorization"] = f"Bearer {options.token.read()}"
        if options.basic:
            pair = f"{options.basic.username}:{options.basic.password.read()}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        for name, value in headers.items():
            # The HTTP library would refuse it, too, with the secret in its message.
            if not HEADER_VALUE.fullmatch(value):
                raise PermanentError(
                    f"the secret for the header {name} has line breaks or other unprintable characters"
                )
        return headers


def _advice(error: RefresherError) -> str:
    said = re.search(r"answers ([0-9]{3})$", str(error))
    match said[1] if said else "":
        case "401" | "403":
            return "Compare token, basic, headers or cert_file with what the server wants."
        case "404" | "410":
            return "Correct the URL, or put the file there."
        case "":
            return "Repair what is named there, at the server or in the source's options."
        case _:
            return "Look into the server's own log."


def _is_held(response: urllib3.BaseHTTPResponse, held: Held | None) -> bool:
    """304, or what a server that ignores conditions answers: the same revision in full."""
    revision = revision_of(response.headers)
    return response.status == 304 or (held is not None and bool(revision) and revision == held.revision)
