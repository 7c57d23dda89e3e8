"""The asset that a call's path names."""

from starlette.exceptions import HTTPException
from starlette.requests import Request

from refresher.control.sidecar import Sidecar


def named_asset(request: Request, sidecar: Sidecar) -> str:
    """The `{asset}` of the path. Raises HTTPException (404) if the sidecar has no such asset."""
    asset: str = request.path_params["asset"]
    if asset not in sidecar.names():
        raise HTTPException(404, "there is no such asset; GET /assets lists them")
    return asset
