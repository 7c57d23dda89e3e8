"""Requests made from the API's own description, against a real sidecar: schemathesis says what isn't as described."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.journeys.sidecar import Sidecar, http, kept_running

TOKEN = "tok-5b1e-of-the-fuzzer"
# All checks are on. Two are told what is an answer here, and no mistake of the server's or of the description's: that
# the source failed, was slow, or isn't ready (502, 503, 504), and that what arrived was rejected (422). 500 stays one.
# use_after_free, ensure_resource_availability and object_level_authorization find little to do in the stateful phase:
# this API makes and removes no resources, and knows one token.
SETTINGS = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", "502", "503", "504"]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "502", "503", "504"]
[dictionaries.assets]
values = ["well", "rejected", "failed"]
[parameters]
"path.asset" = {dictionary = "assets", probability = 0.6}
"""
# Where only some calls want the token, a method that a call doesn't know is first asked for it, and then told so.
SOME_WITH_TOKEN = """
[checks.unsupported_method]
enabled = false
"""
AUTHENTICATED = f"""
[auth.openapi.token]
bearer = "{TOKEN}"
"""


@contextmanager
def sidecar(directory: Path, listen: str = "127.0.0.1", **control: Any) -> Iterator[Sidecar]:
    """One asset is well, one is rejected, and of one the source fails."""
    (directory / "source").mkdir()
    (directory / "source/file").write_text("content")
    (directory / "broken.json").write_text("{")
    (directory / "token").write_text(TOKEN)
    assets = {
        "well": {"source": f"file://{directory}/source"},
        "rejected": {"source": f"file://{directory}/broken.json", "verify": [{"document": {"files": ["*.json"]}}]},
        "failed": {"source": f"file://{directory}/missing", "required": False},
    }
    one = Sidecar(directory, {"assets": assets}, {})
    one.configure(control={"listen": f"{listen}:{one.port}", **control})
    with kept_running(one):
        yield one


def fuzzed(one: Sidecar, *options: str, settings: str = SETTINGS) -> Counter[int]:
    """How often each status was answered; fails with what schemathesis found."""
    config, har = one.directory / "schemathesis.toml", one.directory / "answers.har"
    config.write_text(settings)
    description = one.directory / "openapi.json"
    description.write_bytes(one.ask("GET", "/openapi.json", Authorization=f"Bearer {TOKEN}").data)
    program = str(Path(sys.executable).with_name("schemathesis"))
    argv = [program, "--config-file", str(config), "run", str(description), "--url", f"http://127.0.0.1:{one.port}",
            "--max-examples", "25", "--generation-deterministic", "--continue-on-failure", "--no-color",
            "--report-har-path", str(har), *options]  # fmt: skip
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False, cwd=one.directory, env=quiet())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    seen = Counter(entry["response"]["status"] for entry in json.loads(har.read_text())["log"]["entries"])
    print(*re.findall(r"Tested: +\d+|\d+ generated.*", ran.stdout), seen)
    return seen


def quiet() -> Mapping[str, str]:
    return {**os.environ, "COLUMNS": "200"}


def unharmed(one: Sidecar) -> None:
    """It runs, it logged no bug, and its token is in no line of the log."""
    assert one.answers()
    assert "Traceback" not in one.logged()
    assert TOKEN not in one.logged()


def test_what_a_sidecar_without_a_token_answers_is_what_it_describes(tmp_path: Path) -> None:
    with sidecar(tmp_path) as one:
        seen = fuzzed(one)
        unharmed(one)
    assert {200, 400, 403, 404, 405, 429} <= set(seen), seen
    assert 500 not in seen


def test_what_a_sidecar_with_a_token_answers_is_what_it_describes(tmp_path: Path) -> None:
    with sidecar(tmp_path, token={"file": str(tmp_path / "token")}) as one:
        seen = fuzzed(one, settings=SETTINGS + SOME_WITH_TOKEN + AUTHENTICATED)
        unharmed(one)
    assert {200, 400, 401, 404, 405, 429} <= set(seen), seen
    assert 500 not in seen


def test_what_a_sidecar_that_others_can_reach_answers_is_what_it_describes(tmp_path: Path) -> None:
    with sidecar(tmp_path, listen="0.0.0.0", token={"file": str(tmp_path / "token")}) as one:
        assert one.ask("GET", "/openapi.json").status == 401
        seen = fuzzed(one, settings=SETTINGS + AUTHENTICATED)
        unharmed(one)
    assert {200, 401, 404, 405} <= set(seen), seen


def test_what_the_probes_listener_answers_is_what_is_described(tmp_path: Path) -> None:
    with sidecar(tmp_path) as one:
        probes = f"http://127.0.0.1:{one.probes_port}"
        seen = fuzzed(one, "--url", probes, "--include-path-regex", "^/(livez|readyz|metrics)$")
        assert http.request("GET", f"{probes}/openapi.json").status == 404
        unharmed(one)
    assert {200, 405, 503} <= set(seen) <= {200, 400, 404, 405, 503}, seen


def test_the_methods_that_a_call_knows_are_in_allow(tmp_path: Path) -> None:
    with sidecar(tmp_path) as one:
        paths = one.ask("GET", "/openapi.json").json()["paths"]
        for path, calls in paths.items():
            for method in ("DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"):
                answer = one.ask(method, path.format(asset="well"))
                assert answer.status == 405
                allowed = {each.strip().lower() for each in answer.headers["allow"].split(",")}
                assert allowed - {"head"} == set(calls), (method, path)
