"""Putting an earlier generation back, and following the source again: what only somebody with the token may ask."""

import asyncio
import re
from concurrent.futures import Future
from datetime import timedelta

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from refresher.control.calls import NO_SUCH_ASSET, Call, Parameter, Reply, refused
from refresher.control.documents import asset_document
from refresher.control.moments import moment_of
from refresher.control.named import named_asset
from refresher.control.shapes import AssetDocument
from refresher.control.sidecar import Sidecar
from refresher.errors import RefresherError, TransientError

WAIT = timedelta(seconds=30)
"""Who publishes holds the volume's lock; a wish gives up on it after 10 s (503). The rest is for its turn among the
threads, and for the work itself."""
TO = Parameter(
    name="to",
    means="the generation; the one before the visible, unless given",
    schema={"type": "integer", "minimum": 1, "maximum": 10**18 - 1},
)
ANSWERS = {
    200: Reply(means="Done; this is how the asset stands now.", document=AssetDocument),
    404: NO_SUCH_ASSET,
    409: refused("It can't be done: not kept, expired, damaged."),
    503: refused("Not now: the volume can't be written to, or somebody else holds it; or too many connections."),
    504: refused("Not done in time; it goes on."),
}


class Rollbacks:
    """The two calls. Both answer with how the asset stands afterwards; 409 if it can't be done, 503 if not now.

    Whoever has waited for `wait` is answered 504; what was asked for goes on.
    """

    def __init__(self, sidecar: Sidecar, *, wait: timedelta = WAIT) -> None:
        self._sidecar, self._wait = sidecar, wait.total_seconds()

    def calls(self) -> list[Call]:
        """The two calls."""
        return [
            Call(
                method="POST",
                path="/rollback/{asset}",
                endpoint=self.go_back,
                does="put an earlier generation back, and pin it; ?to=N; needs the token or the Unix socket",
                query=(TO,),
                answers=ANSWERS,
            ),
            Call(
                method="POST",
                path="/unpin/{asset}",
                endpoint=self.unpin,
                does="follow the source again; needs the token or the Unix socket",
                answers=ANSWERS,
            ),
        ]

    async def go_back(self, request: Request) -> Response:
        """Put the generation `?to=N`, or the one before the visible, back, and pin it."""
        asset, number = named_asset(request, self._sidecar), read_number(request.query_params)
        return await self._done(asset, self._sidecar.go_back(asset, to=number))

    async def unpin(self, request: Request) -> Response:
        """Follow the source again."""
        asset = named_asset(request, self._sidecar)
        return await self._done(asset, self._sidecar.unpin(asset))

    async def _done(self, asset: str, wish: Future[None]) -> Response:
        try:
            await asyncio.wait_for(moment_of(wish).wait(), self._wait)
        except TimeoutError as error:
            raise HTTPException(504, f"not done within {self._wait:g} s; it goes on") from error
        try:
            wish.result()
        except TransientError as error:
            raise HTTPException(503, str(error)) from error
        except RefresherError as error:
            raise HTTPException(409, str(error)) from error
        return JSONResponse(asset_document(self._sidecar.state(asset)))


def read_number(query: QueryParams) -> int | None:
    """`?to=N`. Raises HTTPException (400) for anything else."""
    written = dict(query)
    to = written.pop("to", None)
    if written:
        raise HTTPException(400, "the only parameter is to")
    if to is None:
        return None
    if not re.fullmatch("[1-9][0-9]{0,17}", to):
        raise HTTPException(400, "to must be a generation's number")
    return int(to)
