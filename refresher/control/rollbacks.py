"""Putting an earlier generation back, and following the source again: what only somebody with the token may ask."""

import asyncio
from concurrent.futures import CancelledError, Future

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from refresher.control.documents import asset_document
from refresher.control.sidecar import Sidecar
from refresher.errors import RefresherError, TransientError

WAIT = 30.0
"""Seconds: a refresh that is under way holds the volume's lock for at most ten."""


class Rollbacks:
    """The two calls. Both answer with how the asset stands afterwards; 409 if it can't be done, 503 if not now."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar

    def routes(self) -> list[Route]:
        """The two calls."""
        return [
            Route("/rollback/{asset}", self.go_back, methods=["POST"]),
            Route("/unpin/{asset}", self.unpin, methods=["POST"]),
        ]

    async def go_back(self, request: Request) -> Response:
        """Put the generation `?to=N`, or the one before the visible, back, and pin it."""
        asset, number = self._known(request), read_number(request.query_params)
        return await self._done(asset, self._sidecar.go_back(asset, to=number))

    async def unpin(self, request: Request) -> Response:
        """Follow the source again."""
        asset = self._known(request)
        return await self._done(asset, self._sidecar.unpin(asset))

    def _known(self, request: Request) -> str:
        asset: str = request.path_params["asset"]
        if asset not in self._sidecar.names():
            raise HTTPException(404, "there is no such asset; GET /assets lists them")
        return asset

    async def _done(self, asset: str, wish: Future[None]) -> Response:
        try:
            await asyncio.wait_for(asyncio.wrap_future(wish), WAIT)
        except TransientError as error:
            raise HTTPException(503, str(error)) from error
        except RefresherError as error:
            raise HTTPException(409, str(error)) from error
        except TimeoutError as error:
            raise HTTPException(504, "not done in time") from error
        except CancelledError as error:
            raise HTTPException(503, "the sidecar is stopping") from error
        return JSONResponse(asset_document(self._sidecar.state(asset)))


def read_number(query: QueryParams) -> int | None:
    """`?to=N`. Raises HTTPException (400) for anything else."""
    written = dict(query)
    to = written.pop("to", None)
    if written:
        raise HTTPException(400, "the only parameter is to")
    if to is not None and not (to.isascii() and to.isdigit() and len(to) < 19):
        raise HTTPException(400, "to must be a generation's number")
    return None if to is None else int(to)
