"""Errors as RFC 9457 problem documents, whoever found them: a guard, the router, the API or a bug."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

MEDIA_TYPE = "application/problem+json"
_BY_STATUS = {
    404: "there is no such call; GET / lists them",
    405: "the method is not one of this call's; GET / lists them",
}


class ProblemResponse(JSONResponse):
    """A problem document; `members` are added to it (RFC 9457, section 3.2)."""

    media_type = MEDIA_TYPE

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem(status, detail) | dict(members or {}), status, headers)


def problem(status: int, detail: str) -> dict[str, Any]:
    """The members that every problem has. The type is the one for problems that their status says enough about."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def problem_bytes(status: int, detail: str) -> bytes:
    """A problem document for where no application answers."""
    return json.dumps(problem(status, detail)).encode()


async def expected(request: Request, error: Exception) -> Response:
    """An `HTTPException`, the router's or ours."""
    found = cast(HTTPException, error)
    said = found.detail != HTTPStatus(found.status_code).phrase
    detail = found.detail if said else _BY_STATUS.get(found.status_code, found.detail)
    return ProblemResponse(found.status_code, detail, headers=found.headers)


async def unexpected(request: Request, error: Exception) -> Response:
    """A bug. Its text stays in the log, because it could say anything."""
    return ProblemResponse(500, "something unexpected went wrong; the log says what")
