"""What there is to ask: `GET /` for people, and `GET /openapi.json`, OpenAPI 3.1, for programs.

Both are made from the calls that the router is made from, and from the types that the answers are made of.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from refresher import __version__
from refresher.control.calls import EVERYWHERE, REFUSED, UNAUTHORIZED, Call, Endpoint, Parameter, Reply
from refresher.control.shapes import Calls
from refresher.model import ASSET_NAME

ASSET = {"type": "string", "pattern": ASSET_NAME}
OPEN = Parameter(
    name="open",
    means="whose details the page has, as often as it takes; without it, all",
    schema={"type": "array", "items": {"type": "string"}},
)
_SCHEMES = {"token": {"type": "http", "scheme": "bearer", "description": "the content of control.token"}}

TokenNeeded = Callable[[str, str], bool]
"""Of method and path: whether this sidecar wants the control token for it."""


def with_description(
    calls: Sequence[Call], token_needed: TokenNeeded, *, index: Callable[[Mapping[str, str]], Endpoint]
) -> list[Call]:
    """The calls, and the two that say which there are; `index` makes the one for people, of what each call does."""

    async def openapi(request: Request) -> Response:
        return JSONResponse(document())

    page = {"text/html; charset=utf-8": str}
    index_answer = Reply(means="The page for people; for programs the calls.", document=Calls, others=page)
    openapi_answer = Reply(means="An OpenAPI document.", document=dict[str, Any])
    every = [
        *calls,
        Call(
            method="GET",
            path="/openapi.json",
            endpoint=openapi,
            does="the description of this API, for programs",
            answers={200: openapi_answer},
        ),
    ]
    does = {call.name: call.does for call in every}
    every.append(
        Call(
            method="GET",
            path="/",
            endpoint=index(does),
            does="the page for people",
            query=(OPEN,),
            answers={200: index_answer},
        )
    )
    document = cache(lambda: describe(every, token_needed))  # not before somebody asks: most sidecars never are
    return every


def describe(calls: Iterable[Call], token_needed: TokenNeeded) -> dict[str, Any]:
    """The OpenAPI document of these calls."""
    schemas = _Schemas(answer for call in calls for answer in _answers(call, token_needed).values())
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, token_needed, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "refresher",
            "version": __version__,
            "summary": "The local API of a sidecar that keeps files fresh",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas.definitions, "securitySchemes": _SCHEMES},
    }


class _Schemas:
    """The JSON Schemas of all documents, in one place, so that each type is described once."""

    def __init__(self, answers: Iterable[Reply]) -> None:
        documents = (document for answer in answers for document in (answer.document, *answer.others.values()))
        adapters = {str(document): TypeAdapter(document) for document in documents}
        self._of, found = TypeAdapter.json_schemas(
            [(name, "serialization", adapter) for name, adapter in adapters.items()],
            ref_template="#/components/schemas/{model}",
        )
        self.definitions = found.get("$defs", {})

    def of(self, document: Any) -> Mapping[str, Any]:
        return self._of[(str(document), "serialization")]


def _answers(call: Call, token_needed: TokenNeeded) -> dict[int, Reply]:
    """All that a call can be answered with, those before it is reached included."""
    missing = {401: UNAUTHORIZED} if token_needed(call.method, call.path) else {}
    return dict(sorted((EVERYWHERE | {403: REFUSED} | missing | dict(call.answers)).items()))


def _operation(call: Call, token_needed: TokenNeeded, schemas: _Schemas) -> dict[str, Any]:
    asset = [{"name": "asset", "in": "path", "required": True, "schema": ASSET}] if "{asset}" in call.path else []
    return {
        "operationId": "-".join(re.findall(r"\w+", call.name.lower())),
        "summary": call.does,
        "parameters": [*asset, *map(_parameter, call.query)],
        "responses": {str(status): _answer(it, schemas) for status, it in _answers(call, token_needed).items()},
        "security": [{"token": []}] if token_needed(call.method, call.path) else [],
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.means,
        "schema": parameter.schema,
    }


def _answer(answer: Reply, schemas: _Schemas) -> dict[str, Any]:
    contents = {answer.media_type: answer.document, **answer.others}
    headers = {name: {"required": True, "schema": schema} for name, schema in answer.headers.items()}
    return {
        "description": answer.means,
        "content": {kind: {"schema": schemas.of(it)} for kind, it in contents.items()},
        **({"headers": headers} if headers else {}),
    }
