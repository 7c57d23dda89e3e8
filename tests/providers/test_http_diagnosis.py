"""A web server, and local files, looked at by a doctor."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from providers.file import FileOptions, FileProvider
from providers.http import HttpOptions, HttpProvider
from refresher.abilities import Verdict
from refresher.demo.caddy import Caddy
from tests.certificates import Authority
from tests.diagnoses import black_hole, diagnosed, failure, verdicts
from tests.fakes.app import App


def provider(url: str, **options: object) -> HttpProvider:
    return HttpProvider(HttpOptions.model_validate({"url": url, **options}))


@pytest.fixture
def name(caddy: Caddy) -> str:
    name = f"{uuid4().hex}.txt"
    (caddy.root / name).write_text("one")
    return name


def test_a_file_that_is_there_is_seen_step_by_step(caddy: Caddy, name: str) -> None:
    found = diagnosed(provider(f"{caddy.https_url}/{name}", ca_file=caddy.ca_file))
    assert [each.of for each in found] == ["name", "connection", "TLS", "answer"]
    assert set(verdicts(found).values()) == {Verdict.OK}
    assert "answers 200, revision" in found[-1].seen
    assert found[-1].server_time is not None


def test_an_empty_file_is_there_too(caddy: Caddy, name: str) -> None:
    (caddy.root / name).write_text("")
    assert verdicts(diagnosed(provider(f"{caddy.url}/{name}")))["answer"] is Verdict.OK


def test_what_is_not_there_and_what_needs_a_login_have_their_own_advice(caddy: Caddy) -> None:
    missing = failure(diagnosed(provider(f"{caddy.url}/none.txt")))
    assert (missing.seen.rpartition(" ")[2], missing.advice) == ("404", "Correct the URL, or put the file there.")
    refused = failure(diagnosed(provider(f"{caddy.url}/bearer/x.txt")))
    assert refused.advice.startswith("Compare token")


def test_an_authority_that_is_not_known_fails_at_tls(caddy: Caddy, name: str, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(Authority.root().pem)
    assert failure(diagnosed(provider(f"{caddy.https_url}/{name}", ca_file=other))).of == "TLS"


def test_a_secret_of_the_login_and_of_the_query_is_not_shown(caddy: Caddy, name: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("opensesame")
    found = diagnosed(provider(f"{caddy.url}/{name}?sig=hidden-one", token={"file": token}))
    assert verdicts(found)["answer"] is Verdict.OK
    assert "opensesame" not in str(found)
    assert "hidden-one" not in str(found)


def test_without_a_revision_every_look_moves_the_file_which_is_warned_of() -> None:
    with App().running() as app:
        app.answering(200, b"content")
        assert verdicts(diagnosed(provider(f"{app.url}/x")))["answer"] is Verdict.WARN


def test_who_never_answers_is_given_up() -> None:
    with black_hole() as address:
        assert "doesn't answer in time" in failure(diagnosed(provider(f"http://{address}/x"))).seen


def test_a_local_file_is_there_and_may_be_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    found = diagnosed(FileProvider(FileOptions(path=tmp_path)))
    assert [(each.of, each.verdict) for each in found] == [("path", Verdict.OK), ("right to read", Verdict.OK)]
    assert found[1].seen == f"user {os.geteuid()} may read all of it"
    assert "does not exist" in failure(diagnosed(FileProvider(FileOptions(path=tmp_path / "none")))).seen
