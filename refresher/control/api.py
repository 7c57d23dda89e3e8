"""The local API: asking for refreshes, and how assets stand."""

import asyncio
import re
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive

from refresher.control.calls import NO_SUCH_ASSET, Call, Endpoint, Parameter, Reply, refused
from refresher.control.description import TokenNeeded, with_description
from refresher.control.documents import asset_document, configuration_document, details_document
from refresher.control.health import Health
from refresher.control.named import gone, named_asset
from refresher.control.page.index import Index
from refresher.control.problems import ProblemResponse, expected, unexpected
from refresher.control.refreshes import TIMEOUT, Answer, Refreshes, Until, Wish, worst
from refresher.control.rollbacks import Rollbacks
from refresher.control.shapes import (
    AssetDocuments,
    DetailsDocument,
    ListedDocuments,
    OutcomeDocument,
    RefreshProblem,
    RefreshProblems,
)
from refresher.control.sidecar import Sidecar
from refresher.control.together import Together
from refresher.model import Clock
from refresher.options import parse_duration, write_duration
from refresher.state import NoSuchAssetError

T = TypeVar("T")

TIMEOUT_PATTERN = r"^(0|([0-9]{1,10}(\.[0-9]+)?ms|[0-9]{1,6}(\.[0-9]+)?(s|m)|[0-9]{1,4}(\.[0-9]+)?(h|d)){1,3})$"
"""A duration that is below the longest one that there is."""
WISH = (
    Parameter(
        name="until",
        means="what to wait for: the files being visible, or everybody having been told",
        schema={"enum": [until.value for until in Until], "default": Until.VISIBLE.value},
    ),
    Parameter(name="wait", means="false: answer 202 at once", schema={"enum": ["true", "false"], "default": "true"}),
    Parameter(
        name="timeout",
        means="how long to wait; never limits the refresh",
        schema={"type": "string", "pattern": TIMEOUT_PATTERN, "default": write_duration(TIMEOUT)},
    ),
)
RETRY_AFTER = {"Retry-After": {"type": "integer", "minimum": 1, "description": "seconds"}}


def starlette(calls: Iterable[Call]) -> Starlette:
    """An application whose every error is a problem document."""
    routes = [call.route() for call in calls]
    answers = {HTTPException: expected, NoSuchAssetError: gone, Exception: unexpected}
    app = Starlette(routes=routes, exception_handlers=answers)
    app.router.redirect_slashes = False  # a redirect repeats the Host header that it was asked with
    return app


class Api:
    """The calls of the control listener."""

    def __init__(self, sidecar: Sidecar, refreshes: Refreshes, health: Health, *, clock: Clock, token: bool) -> None:
        self._sidecar, self._refreshes, self._health = sidecar, refreshes, health
        self._clock, self._token = clock, token
        self._rollbacks, self._lists = Rollbacks(sidecar), Together[Response]()

    def calls(self, token_needed: TokenNeeded) -> list[Call]:
        """Every call, the probes' and the lists of them included."""
        calls = [
            Call(
                method="POST",
                path="/refresh",
                endpoint=self.refresh_all,
                does="refresh every asset now; ?until=told, ?wait=false, ?timeout=60s",
                query=WISH,
                answers=_ends(ListedDocuments, RefreshProblems),
            ),
            Call(
                method="POST",
                path="/refresh/{asset}",
                endpoint=self.refresh,
                does="refresh one asset now; the same parameters",
                query=WISH,
                answers={404: NO_SUCH_ASSET, **_ends(OutcomeDocument, RefreshProblem)},
            ),
            Call(
                method="GET",
                path="/assets",
                endpoint=self.assets,
                does="how every asset stands",
                answers={200: Reply(means="All of them.", document=AssetDocuments)},
            ),
            Call(
                method="GET",
                path="/assets/{asset}",
                endpoint=self.asset,
                does="how one asset stands, with its history",
                answers={200: Reply(means="This one.", document=DetailsDocument), 404: NO_SUCH_ASSET},
            ),
        ]
        every = [*calls, *self._rollbacks.calls(), *self._health.calls()]
        return with_description(every, token_needed, index=self._index)

    def _index(self, calls: Mapping[str, str]) -> Endpoint:
        return Index(self._sidecar, calls, clock=self._clock, token=self._token).answer

    async def assets(self, request: Request) -> Response:
        """How every asset stands."""
        listed = await self._lists.made(request, self._listed)
        return Response() if listed is None else listed

    def _listed(self) -> Response:
        assets = [asset_document(state) for state in self._sidecar.all_states()]
        configuration = configuration_document(self._sidecar.configuration())
        return JSONResponse({"assets": assets, "configuration": configuration})

    async def asset(self, request: Request) -> Response:
        """How one asset stands, with its history."""
        return JSONResponse(details_document(self._sidecar.state(named_asset(request, self._sidecar))))

    async def refresh(self, request: Request) -> Response:
        """Refresh one asset; the problem of one that failed carries the outcome too."""
        asset, wish = named_asset(request, self._sidecar), read_wish(request.query_params)
        answer = await _unless_gone(request.receive, self._refreshes.refresh(asset, wish))
        return Response() if answer is None else _one(answer)  # nobody reads the empty one

    async def refresh_all(self, request: Request) -> Response:
        """Refresh every asset at once, and list them all, however they ended."""
        wish = read_wish(request.query_params)
        asked = [self._refreshes.refresh(name, wish) for name in self._sidecar.names()]
        answers = await _unless_gone(request.receive, _together(asked))
        return Response() if answers is None else _several(answers)


def _ends(document: type, problem: type) -> dict[int, Reply]:
    return {
        200: Reply(means="Published or unchanged.", document=document),
        202: Reply(means="Asked, not waited for.", document=document),
        422: refused("It arrived and was rejected.", problem),
        429: refused("Too many were asked for.", problem, headers=RETRY_AFTER),
        502: refused("The source failed; with until=told also: not everybody could be told.", problem),
        504: refused("Not done in time; it goes on.", problem),
    }


def read_wish(query: QueryParams) -> Wish:
    """`?until=told&wait=false&timeout=60s`. Raises HTTPException (400) for anything else."""
    written = dict(query)
    until, wait = written.pop("until", Until.VISIBLE), written.pop("wait", "true")
    timeout = written.pop("timeout", write_duration(TIMEOUT))
    if written:
        raise HTTPException(400, "the parameters are until, wait and timeout")
    if wait not in ("true", "false"):
        raise HTTPException(400, "wait must be true or false")
    if until not in list(Until):
        raise HTTPException(400, "until must be visible or told")
    if not re.fullmatch(TIMEOUT_PATTERN, timeout):
        raise HTTPException(400, "timeout must be a duration such as 60s or 5m")
    return Wish(wait=wait == "true", until=Until(until), timeout=parse_duration(timeout))


async def _together(work: list[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    """The answers, without those of assets that were taken out of the configuration meanwhile."""
    return [answer for answer in await asyncio.gather(*map(_if_there, work)) if answer]


async def _if_there(work: Coroutine[Any, Any, Answer]) -> Answer | None:
    try:
        return await work
    except NoSuchAssetError:
        return None


async def _unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """The work's result, None if the client leaves first: whoever hangs up and asks again must not pile up waiters."""
    waiting, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _one(answer: Answer) -> Response:
    headers = _retry_after([answer])
    if answer.status < 400:
        return JSONResponse(answer.document, answer.status, headers)
    detail = answer.document["error"] or "the refresh did not work"
    return ProblemResponse(answer.status, detail, members=answer.document, headers=headers)


def _several(answers: list[Answer]) -> Response:
    status = worst(answers)
    listed = ListedDocuments(assets=[{**answer.document, "status": answer.status} for answer in answers])
    if status < 400:
        return JSONResponse(listed, status)
    unwell = [answer.document["asset"] for answer in answers if answer.status >= 400]
    detail = f"{len(unwell)} of {len(answers)} did not work: {', '.join(unwell)}"
    headers = _retry_after(answers) if status == 429 else None
    return ProblemResponse(status, detail, members=listed, headers=headers)


def _retry_after(answers: list[Answer]) -> dict[str, str] | None:
    seconds = [answer.retry_after for answer in answers if answer.retry_after is not None]
    return {"retry-after": str(max(seconds))} if seconds else None
