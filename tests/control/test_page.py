"""The page for people, as it is sent; tests/system/page opens it in a browser."""

import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from refresher.control.page.index import prefers_json
from refresher.model import Result
from refresher.options import Secret
from tests.control.client import Client
from tests.fakes.sidecar import FakeSidecar, outcome, state

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
HOSTILE = "</title></bdi><script>alert(1)</script><img src=x onerror=alert(1)> &lt;b&gt; $title \x1b[2J"


class Seen(HTMLParser):
    """What a browser would make of a page: its tags, and the text of what isn't a script or a style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] not in ("script", "style"):
            self.text += data


@pytest.mark.parametrize("accept", [None, "*/*", BROWSER, "text/html, application/json;q=0.9"])
def test_people_get_a_page_of_every_asset(client: Client, accept: str | None) -> None:
    reply = client.get("/", {"accept": accept} if accept else {})
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert reply.headers["cache-control"] == "no-store"
    text = Seen(reply.body.decode()).text
    assert "2 assets, all fresh" in text
    assert all(name in text for name in ("web-tls", "model"))


@pytest.mark.parametrize("accept", ["application/json", "application/json, text/plain, */*", "Application/JSON;q=0.5"])
def test_machines_that_ask_for_json_get_the_calls(client: Client, accept: str) -> None:
    reply = client.get("/", {"accept": accept})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert {"POST /refresh", "GET /assets", "GET /openapi.json"} <= set(reply.json["calls"])


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("application/json;q=0", False),
        ("text/html;q=0.4, application/json;q=0.5", True),
        ("application/json;q=0.4, text/html;q=0.5", False),
        ("application/json;q=", True),
        (";,;", False),
    ],
)
def test_the_heavier_of_the_two_wins(accept: str, json: bool) -> None:
    assert prefers_json(accept) is json


def test_the_page_lists_the_calls_too(client: Client) -> None:
    text = Seen(client.get("/").body.decode()).text
    assert all(call in text for call in client.get("/", {"accept": "application/json"}).json["calls"])


def test_it_lets_the_browser_run_its_own_script_and_obey_its_own_style_only(client: Client) -> None:
    reply = client.get("/")
    allowed = dict(part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; "))
    for tag in ("script", "style"):
        (written,) = re.findall(rf"<{tag}>(.*?)</{tag}>", reply.body.decode(), flags=re.S)
        assert allowed[f"{tag}-src"] == f"'sha256-{b64encode(sha256(written.encode()).digest()).decode()}'"
    assert allowed["default-src"] == "'none'"
    assert allowed["connect-src"] == "'self'"
    assert allowed["frame-ancestors"] == "'none'"


def test_what_a_source_or_an_app_wrote_never_becomes_a_tag(client: Client, sidecar: FakeSidecar) -> None:
    tags = set(Seen(client.get("/").body.decode()).tags)
    ended = outcome("model", Result.FAILED, error=HOSTILE)
    sidecar.states["model"] = state(
        "model", result=Result.FAILED, error=HOSTILE, refused=HOSTILE, revision=HOSTILE, history=(ended,)
    )
    hostile = client.get("/").body.decode()
    assert set(Seen(hostile).tags) - tags <= {"ul", "li", "b", "bdi", "i"}
    assert not {name for name in Seen(hostile).attributes if name.startswith("on")}
    assert Seen(hostile).tags.count("script") == 1
    assert Seen(hostile).text.count(HOSTILE.replace("\x1b", " ")) == 4


def test_text_that_is_no_unicode_does_not_take_the_page_down(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.states["model"] = state("model", result=Result.FAILED, error="\udcff")
    assert client.get("/").status == 200


def test_no_names_of_assets_give_two_parts_of_it_one_id(serve: Callable[..., Client], sidecar: FakeSidecar) -> None:
    sidecar.states = {name: state(name) for name in ("web", "web-name", "web-details", "name-of-web", "assets", "s")}
    ids = re.findall(r' id="([^"]*)"', serve().get("/").body.decode())
    assert len(ids) > 3 * len(sidecar.states)
    assert len(set(ids)) == len(ids)


def test_moments_of_long_ago_do_not_take_it_down_either(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.states["model"] = state("model", expires_at=datetime(1, 1, 1, tzinfo=UTC))
    assert client.get("/assets/model").json["expires_at"] == "0001-01-01T00:00:00Z"
    assert "expired" in client.get("/").body.decode()


def test_details_are_sent_of_those_assets_only_that_are_open(client: Client) -> None:
    assert Seen(client.get("/").body.decode()).text.count("Revision") == 2
    assert Seen(client.get("/?open=").body.decode()).text.count("Revision") == 0
    assert Seen(client.get("/?open=&open=model").body.decode()).text.count("Revision") == 1


def test_a_scheduler_that_stands_still_is_said(client: Client, sidecar: FakeSidecar) -> None:
    assert "nothing is refreshed" not in client.get("/").body.decode()
    sidecar.beats = False
    assert "nothing is refreshed" in client.get("/").body.decode()


def test_the_page_knows_whether_a_refresh_needs_the_token_and_not_the_token(
    serve: Callable[..., Client], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cr3t-token")
    assert 'data-token=""' in serve().get("/").body.decode()
    page = serve(token=Secret(file=tmp_path / "token")).get("/").body.decode()
    assert 'data-token="needed"' in page
    assert "s3cr3t-token" not in page


def test_the_page_without_an_asset_is_small(serve: Callable[..., Client], sidecar: FakeSidecar) -> None:
    sidecar.states.clear()
    assert len(serve().get("/").body) < 20_000


def test_nothing_of_the_page_is_loaded_before_somebody_opens_it() -> None:
    code = "import sys, refresher.app, refresher.control.server; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "refresher.control.page.index" in loaded
    assert not {"refresher.control.page.shell", "refresher.control.page.drawing", "refresher.words"} & set(loaded)


def test_what_is_wrong_with_the_configuration_stands_above_all_assets(client: Client, sidecar: FakeSidecar) -> None:
    sidecar.valid, sidecar.fixed = False, ("probes.listen",)
    text = Seen(client.get("/", {"accept": BROWSER}).body.decode()).text
    assert "the configuration from before goes on: assets.web: is not a known key" in text
    assert "These count from the next restart on: probes.listen" in text
    assert text.index("from before") < text.index("web-tls")
