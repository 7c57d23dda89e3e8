"""The local API: asking for refreshes, and how assets stand."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from refresher.control.documents import asset_document, details_document
from refresher.control.health import Health
from refresher.control.named import named_asset
from refresher.control.page.index import Index
from refresher.control.problems import ProblemResponse, expected, unexpected
from refresher.control.refreshes import TIMEOUT, Answer, Refreshes, Until, Wish, worst
from refresher.control.rollbacks import Rollbacks
from refresher.control.sidecar import Sidecar
from refresher.model import Clock
from refresher.options import parse_duration

T = TypeVar("T")

CALLS = {
    "POST /refresh": "refresh every asset now; ?until=told, ?wait=false, ?timeout=60s",
    "POST /refresh/{asset}": "refresh one asset now; the same parameters",
    "POST /rollback/{asset}": "put an earlier generation back, and pin it; ?to=N; needs the token or the Unix socket",
    "POST /unpin/{asset}": "follow the source again; needs the token or the Unix socket",
    "GET /assets": "how every asset stands",
    "GET /assets/{asset}": "how one asset stands, with its history",
    "GET /livez": "whether the scheduler runs",
    "GET /readyz": "whether every required asset is usable",
    "GET /metrics": "the metrics for Prometheus",
}


def starlette(routes: list[Route]) -> Starlette:
    """An application whose every error is a problem document."""
    app = Starlette(routes=routes, exception_handlers={HTTPException: expected, Exception: unexpected})
    app.router.redirect_slashes = False  # a redirect repeats the Host header that it was asked with
    return app


class Api:
    """The calls of the control listener."""

    def __init__(self, sidecar: Sidecar, refreshes: Refreshes, health: Health, *, clock: Clock, token: bool) -> None:
        self._sidecar, self._refreshes, self._health = sidecar, refreshes, health
        self._index = Index(sidecar, CALLS, clock=clock, token=token)
        self._rollbacks = Rollbacks(sidecar)

    def routes(self) -> list[Route]:
        """Every call, the probes' included."""
        return [
            Route("/", self._index.answer),
            Route("/assets", self.assets),
            Route("/assets/{asset}", self.asset),
            Route("/refresh", self.refresh_all, methods=["POST"]),
            Route("/refresh/{asset}", self.refresh, methods=["POST"]),
            *self._rollbacks.routes(),
            *self._health.routes(),
        ]

    async def assets(self, request: Request) -> Response:
        """How every asset stands."""
        return JSONResponse({"assets": [asset_document(self._sidecar.state(name)) for name in self._sidecar.names()]})

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


def read_wish(query: QueryParams) -> Wish:
    """`?until=told&wait=false&timeout=60s`. Raises HTTPException (400) for anything else."""
    written = dict(query)
    until, wait = written.pop("until", Until.VISIBLE), written.pop("wait", "true")
    timeout = written.pop("timeout", None)
    if written:
        raise HTTPException(400, "the parameters are until, wait and timeout")
    if wait not in ("true", "false"):
        raise HTTPException(400, "wait must be true or false")
    if until not in list(Until):
        raise HTTPException(400, "until must be visible or told")
    try:
        limit = TIMEOUT if timeout is None else parse_duration(timeout)
    except (ValueError, OverflowError):
        raise HTTPException(400, "timeout must be a duration such as 60s or 5m") from None
    return Wish(wait=wait == "true", until=Until(until), timeout=limit)


async def _together(work: list[Coroutine[Any, Any, Answer]]) -> list[Answer]:
    return list(await asyncio.gather(*work))


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
    listed = {"assets": [answer.document | {"status": answer.status} for answer in answers]}
    if status < 400:
        return JSONResponse(listed, status)
    unwell = [answer.document["asset"] for answer in answers if answer.status >= 400]
    detail = f"{len(unwell)} of {len(answers)} did not work: {', '.join(unwell)}"
    headers = _retry_after(answers) if status == 429 else None
    return ProblemResponse(status, detail, members=listed, headers=headers)


def _retry_after(answers: list[Answer]) -> dict[str, str] | None:
    seconds = [answer.retry_after for answer in answers if answer.retry_after is not None]
    return {"retry-after": str(max(seconds))} if seconds else None
