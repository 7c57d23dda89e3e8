"""Telling by an HTTP request, and believing it when the answer, and a second look if wanted, say that it was heard."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote_plus, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from refresher.abilities import Observation
from refresher.contract import Change
from refresher.errors import RejectedError, TransientError
from refresher.notifiers.confirm import PATIENCE, ConfirmOptions, confirm, observed
from refresher.notifiers.excerpt import READ_LIMIT, SHORTEST_SECRET, excerpt
from refresher.notifiers.exchange import Answer, Headers, HttpUrl, Request, exchange, reach, read_headers
from refresher.options import Duration, Secret

_STATUS = r"^[1-5](\d\d|xx)$"


def _written(value: object) -> object:
    return str(value) if isinstance(value, int) else value


Status = Annotated[
    str,
    BeforeValidator(_written),
    StringConstraints(pattern=_STATUS),
    WithJsonSchema({"type": ["string", "integer"], "pattern": _STATUS, "minimum": 100, "maximum": 599}),
]
"""A status such as 204, or a class of them such as 2xx."""


class HttpOptions(BaseModel):
    """Where to, and what the answers mean.

    A status in `expect` is heard, one in `rejected_on` means that the app can't use this generation, and all others,
    also redirects, that it has to be told again. `timeout` is for the whole request; `confirm` comes after it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: HttpUrl
    method: Annotated[str, StringConstraints(pattern=r"^[A-Z]+$")] = "POST"
    headers: Headers = {}
    body: Literal["change", "none"] = "change"
    expect: Annotated[tuple[Status, ...], Field(min_length=1)] = ("2xx",)
    rejected_on: tuple[Status, ...] = ("409", "422")
    timeout: Duration = timedelta(seconds=10)
    ca_file: Path | None = None
    confirm: ConfirmOptions | None = None


class HttpNotifier:
    """Sends the change to a URL."""

    Options = HttpOptions

    def __init__(self, options: HttpOptions) -> None:
        self._options = options

    def notify(self, change: Change) -> None:
        """Raises TransientError, RejectedError, or PermanentError if a header's secret can't be read."""
        request = self._request(change)
        answer = exchange(request, timeout=self._options.timeout)
        self._judge(request, answer)
        confirm(self._options.confirm, change)

    def diagnose(self, change: Change | None) -> Iterator[Observation]:
        """Whether somebody listens, and what the app runs, if it can be asked; nothing is sent to `url`."""
        try:
            reach(self._options.url, ca_file=self._options.ca_file, within=PATIENCE)
        except TransientError as error:
            yield Observation.fail("app", str(error), "Start the app, or correct the URL's host and port.")
        else:
            yield Observation.ok("app", "somebody listens there")
        yield from observed(self._options.confirm, change)

    def _request(self, change: Change) -> Request:
        headers = {"User-Agent": "refresher", **read_headers(self._options.headers)}
        body = None
        if self._options.body == "change":
            headers, body = {"Content-Type": "application/json", **headers}, json.dumps(change.document()).encode()
        return Request(
            method=self._options.method,
            url=self._options.url,
            headers=headers,
            body=body,
            ca_file=self._options.ca_file,
            limit=READ_LIMIT,
        )

    def _judge(self, request: Request, answer: Answer) -> None:
        if _any_fits(self._options.expect, answer.status):
            return
        said = f"{request.described} answers {answer.status}: {self._excerpt(request, answer)}".removesuffix(": ")
        if _any_fits(self._options.rejected_on, answer.status):
            raise RejectedError(said)
        raise TransientError(said, retry_after=answer.retry_after)

    def _excerpt(self, request: Request, answer: Answer) -> str:
        # Some apps show the request that they don't like, credentials included.
        headers = [request.headers[name] for name, value in self._options.headers.items() if isinstance(value, Secret)]
        words = [word for value in headers for word in value.split()]
        return excerpt(answer.body, secrets=[*words, *_query_values(self._options.url)])


def _any_fits(patterns: tuple[str, ...], status: int) -> bool:
    return any(str(status) == pattern or f"{status // 100}xx" == pattern for pattern in patterns)


def _query_values(url: str) -> list[str]:
    """The values in a URL's query, which may be a signature or a key, as written and as meant."""
    query = urlsplit(url).query
    written = [pair.partition("=")[2] for pair in query.split("&")]
    return [value for value in (*written, *map(unquote_plus, written)) if len(value) >= SHORTEST_SECRET]
