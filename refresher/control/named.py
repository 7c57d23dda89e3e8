"""The asset that a call's path names."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from refresher.control.problems import ProblemResponse
from refresher.control.sidecar import Sidecar

NO_SUCH_ASSET = "there is no such asset; GET /assets lists them"


def named_asset(request: Request, sidecar: Sidecar) -> str:
    """The `{asset}` of the path. Raises HTTPException (404) if the sidecar has no such asset."""
    asset: str = request.path_params["asset"]
    if asset not in sidecar.names():
        raise HTTPException(404, NO_SUCH_ASSET)
    return asset


async def gone(request: Request, error: Exception) -> Response:
    """The answer to whom the asset was taken from while he asked: the configuration has changed."""
    return ProblemResponse(404, NO_SUCH_ASSET)
