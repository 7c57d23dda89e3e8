import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from refresher.errors import PermanentError, TransientError
from refresher.model import Result
from refresher.options import Secret
from refresher.ratelimit import RateLimit
from refresher.traffic import Transfer
from tests.control.client import Client, Reply
from tests.fakes.sidecar import FakeSidecar, outcome, state

TOKEN = {"Authorization": "Bearer opensesame"}


@pytest.fixture
def guarded(serve: Callable[..., Client], tmp_path: Path) -> Client:
    (tmp_path / "token").write_text("opensesame")
    return serve(token=Secret(file=tmp_path / "token"), limit=RateLimit(burst=50, per_second=1, clock=lambda: 0.0))


def closed(schema: Any) -> Any:
    """The same schema, and nothing may be in an object that it doesn't name."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    return {"additionalProperties": False, **inner} if "properties" in schema else inner


def check(description: dict[str, Any], method: str, path: str, reply: Reply) -> None:
    """Fail unless the answer is one that the description has."""
    answers = description["paths"][path][method.lower()]["responses"]
    answer = answers[str(reply.status)]
    assert set(map(str.lower, answer.get("headers", {}))) <= set(reply.headers)
    content = answer["content"][reply.headers["content-type"]]
    if "json" not in reply.headers["content-type"]:
        return
    resource: Resource[Any] = Resource.opaque(closed(description))
    schema = {"$ref": f"urn:api#/paths/{path.replace('/', '~1')}/{method.lower()}/responses/{reply.status}/content"}
    schema["$ref"] += f"/{reply.headers['content-type'].replace('/', '~1')}/schema"
    assert content
    registry: Registry[Any] = Registry().with_resource("urn:api", resource)
    Draft202012Validator(schema, registry=registry, format_checker=FormatChecker()).validate(reply.json)


def asked(client: Client, sidecar: FakeSidecar) -> Iterator[tuple[str, str, Reply]]:
    """Calls, and answers of as many kinds as there are: (method, path, answer)."""
    yield "GET", "/", client.get("/", {"Accept": "application/json"})
    for path in ("/", "/assets", "/livez", "/readyz", "/metrics", "/openapi.json"):
        yield "GET", path, client.get(path)
    history = tuple(outcome("web-tls", result) for result in Result)
    transfer = Transfer(received=1, expected=None, seconds=2.04, rate=501.9)
    sidecar.states["web-tls"] = state("web-tls", history=history, transfer=transfer, refused="no", error="so")
    sidecar.states["model"] = state("model", generation=None, ready=False, published_at=None, files={}, digest=None)
    yield "GET", "/assets", client.get("/assets")
    yield "GET", "/assets/{asset}", client.get("/assets/web-tls")
    yield "GET", "/assets/{asset}", client.get("/assets/other")
    yield "GET", "/assets/{asset}", client.get("/assets/other", {"Host": "evil.example"})
    yield "GET", "/readyz", client.get("/readyz")
    sidecar.beats = False
    yield "GET", "/livez", client.get("/livez")
    for result in (None, *Result):
        sidecar.ends = {name: outcome(name, result, error="so") for name in sidecar.states} if result else {}
        for path in ("/refresh", "/refresh/{asset}"):
            for query in ("timeout=10ms", "wait=false", "until=all", "timeout=1"):
                yield "POST", path, client.post(f"{path.format(asset='web-tls')}?{query}", TOKEN)
        for request in sidecar.running.values():
            request.visible.done() or request.visible.set_result(outcome("any"))
    yield "POST", "/refresh", client.post("/refresh", TOKEN, b"x" * 65537)
    yield "POST", "/refresh", client.post("/refresh")
    while (reply := client.post("/refresh/web-tls", TOKEN)).status != 429:
        yield "POST", "/refresh/{asset}", reply
    yield "POST", "/refresh/{asset}", reply
    yield "POST", "/refresh", client.post("/refresh", TOKEN)
    for refusal in (None, TransientError("held"), PermanentError("not kept")):
        sidecar.refuses = refusal
        for path in ("/rollback/{asset}", "/unpin/{asset}"):
            yield "POST", path, client.post(path.format(asset="web-tls"), TOKEN)
            yield "POST", path, client.post(path.format(asset="other"), TOKEN)


def test_every_answer_is_described_to_its_last_member(guarded: Client, sidecar: FakeSidecar) -> None:
    description = guarded.get("/openapi.json").json
    seen = set()
    for method, path, reply in asked(guarded, sidecar):
        check(description, method, path, reply)
        seen.add((method, path, reply.status))
    assert {(method, path) for method, path, _ in seen} == {
        (method.upper(), path) for path, calls in description["paths"].items() for method in calls
    }
    assert {status for *_, status in seen} == {200, 202, 400, 401, 403, 404, 409, 413, 422, 429, 502, 503, 504}


def test_an_answer_with_a_member_that_is_not_described_is_found(guarded: Client) -> None:
    description = guarded.get("/openapi.json").json
    del description["components"]["schemas"]["Alive"]["properties"]["alive"]
    with pytest.raises(Exception, match="Additional properties are not allowed"):
        check(description, "GET", "/livez", guarded.get("/livez"))


def test_the_index_names_the_calls_that_are_described(client: Client) -> None:
    described = client.get("/openapi.json").json["paths"]
    assert {"GET /", *client.get("/", {"Accept": "application/json"}).json["calls"]} == {
        f"{method.upper()} {path}" for path, calls in described.items() for method in calls
    }


def test_the_description_says_what_this_sidecar_wants_the_token_for(client: Client, guarded: Client) -> None:
    def wanting(one: Client) -> set[str]:
        paths = one.get("/openapi.json").json["paths"]
        return {method for calls in paths.values() for method, call in calls.items() if call["security"]}

    assert wanting(client) == set()
    assert wanting(guarded) == {"post"}


def test_every_call_has_a_name_of_its_own_and_says_what_it_does(client: Client) -> None:
    calls = [call for path in client.get("/openapi.json").json["paths"].values() for call in path.values()]
    assert len({call["operationId"] for call in calls}) == len(calls) > 10
    assert all(re.fullmatch(r"[a-z][a-z-]+", call["operationId"]) and call["summary"] for call in calls)


def test_nothing_is_changed_but_by_post_which_is_what_wants_the_token(client: Client) -> None:
    paths = client.get("/openapi.json").json["paths"]
    assert {method for calls in paths.values() for method in calls} == {"get", "post"}


def test_the_description_is_for_those_who_may_ask(serve: Callable[..., Client], guarded: Client) -> None:
    assert guarded.get("/openapi.json", {"Host": "evil.example"}).status == 403
    assert serve(probes="127.0.0.1:0").probes().get("/openapi.json").status == 404
