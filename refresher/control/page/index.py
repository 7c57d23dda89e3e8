"""`GET /`: the page for people, and for machines that ask for JSON the list of calls."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from refresher.control.documents import configuration_document, details_document
from refresher.control.sidecar import Sidecar
from refresher.control.together import Together
from refresher.model import Clock

if TYPE_CHECKING:  # a sidecar whose page nobody opens has no use for it
    from refresher.control.page.shell import Shell


class Index:
    """Answers with the page, or the `calls` that there are. `token`: whether a refresh needs one.

    `?open=ASSET`, as often as it takes, leaves out the details of all others; the page's script asks so.
    """

    def __init__(self, sidecar: Sidecar, calls: Mapping[str, str], *, clock: Clock, token: bool) -> None:
        self._sidecar, self._calls, self._clock, self._token = sidecar, calls, clock, token
        self._pages = Together[bytes]()

    async def answer(self, request: Request) -> Response:
        """Answer what the client prefers."""
        if prefers_json(request.headers.get("accept", "")):
            return JSONResponse({"calls": self._calls}, headers={"vary": "Accept"})
        names = frozenset(self._sidecar.names())
        opened = names & {*request.query_params.getlist("open")} if "open" in request.query_params else None
        page = await self._pages.made(request, lambda: self._page(opened), kind=opened)
        return Response() if page is None else HTMLResponse(page, headers=self._shell.headers | {"vary": "Accept"})

    def _page(self, opened: frozenset[str] | None) -> bytes:
        states = [details_document(state) for state in self._sidecar.all_states()]
        configuration, alive = configuration_document(self._sidecar.configuration()), self._sidecar.alive()
        return self._shell.page(states, configuration, opened=opened, now=self._clock(), alive=alive)

    @cached_property
    def _shell(self) -> "Shell":
        from refresher.control.page.shell import Shell

        return Shell(self._calls, token=self._token)


def prefers_json(accept: str) -> bool:
    """Whether an Accept header (RFC 9110, 12.5.1) names JSON, and not HTML before it; `*/*` names neither."""
    weights = dict(map(_weighted, accept.lower().split(",")))
    json = weights.get("application/json", 0.0)
    return json > 0 and json >= weights.get("text/html", 0.0)


def _weighted(written: str) -> tuple[str, float]:
    """The media type and its weight; one that can't be read counts as 1."""
    kind, *parameters = (part.strip() for part in written.split(";"))
    weight = next((value for name, _, value in (p.partition("=") for p in parameters) if name == "q"), "1")
    try:
        return kind, float(weight)
    except ValueError:
        return kind, 1.0
