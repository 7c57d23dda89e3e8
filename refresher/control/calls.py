"""What a call is: its route, what it takes and what it answers. Router and description are both made from it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from refresher.control.problems import MEDIA_TYPE
from refresher.control.shapes import Problem

JSON = "application/json"
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One part of the query, all of which may be left out; `schema` is JSON Schema."""

    name: str
    means: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one status means, and the type of the document that comes with it; `headers` have a JSON Schema each.

    `others` are the types of what comes in other media types instead, to whoever prefers them.
    """

    means: str
    document: Any
    media_type: str = JSON
    headers: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the local API. `{asset}` in its path names an asset."""

    method: str
    path: str
    endpoint: Endpoint
    does: str
    answers: Mapping[int, Reply]
    query: tuple[Parameter, ...] = ()

    @property
    def name(self) -> str:
        """As people write it: `POST /refresh/{asset}`."""
        return f"{self.method} {self.path}"

    def route(self) -> Route:
        """The way to it."""
        return Route(self.path, self.endpoint, methods=[self.method])


def refused(means: str, document: Any = Problem, *, headers: Mapping[str, Any] | None = None) -> Reply:
    """An answer that is a problem document."""
    return Reply(means=means, document=document, media_type=MEDIA_TYPE, headers=headers or {})


NO_SUCH_ASSET = refused("There is no such asset.")
EVERYWHERE = {
    400: refused("Not a request of HTTP/1.1, or a parameter that isn't one."),
    408: refused("The request took too long to arrive."),
    413: refused("The body is too large; none is needed."),
    503: refused("Not now: too many connections, or the control token can't be read."),
}
"""What any call may be answered with; a call's own meaning of the same status comes first."""
REFUSED = refused("A Host, an Origin or a forwarding header that isn't allowed; or this needs a control.token.")
UNAUTHORIZED = refused("The control token is missing.", headers={"WWW-Authenticate": {"const": "Bearer"}})
