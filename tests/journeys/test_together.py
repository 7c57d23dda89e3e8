"""A file made of two sources, one of which is waited at: what changed there is seen at once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from refresher.demo.openbao import OpenBao
from tests.fakes.app import App
from tests.fakes.long_poll import LongPoll, serving
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until


@dataclass
class Together:
    """A secret in `mount`, a shelf with flags, and the sidecar that makes one file of both."""

    bao: OpenBao
    mount: str
    shelf: LongPoll
    sidecar: Sidecar

    def put_password(self, value: str) -> None:
        self.bao.write(f"{self.mount}/data/db", {"data": {"password": value}})

    def put_limit(self, value: int) -> None:
        until(lambda: self.shelf.held)
        self.shelf.put(json.dumps({"limit": value}).encode())

    def shows(self, text: str) -> bool:
        made = self.sidecar.volume / "app/app.conf"
        return made.exists() and made.read_text() == text

    @property
    def reads(self) -> int:
        """How often the secret was asked for."""
        return sum(asked.startswith("read ") for asked in self.bao.requests(f"{self.mount}/data/db"))


def configuration(bao: OpenBao, mount: str, url: str, app: App) -> dict[str, Any]:
    """Looked at once a year, but for what wakes it: of an hour, the first look could fall into a test."""
    asset = {
        "sources": {"db": f"vault://{mount}/db", "flags": {"http": {"url": url, "name": "data.json", "wait": "5m"}}},
        "render": {"app.conf": {"inline": "password={{ db.password }} limit={{ flags.data.limit }}"}},
        "refresh": {"every": "365d"},
        "notify": [{"http": {"url": f"{app.url}/reload"}}],
    }
    vault = {"address": bao.address, "auth": {"token": {"env": "TEST_TOKEN"}}}
    return {"providers": {"vault": vault}, "assets": {"app": asset}}


@pytest.fixture
def together(tmp_path: Path, bao: OpenBao, app: App) -> Iterator[Together]:
    mount, shelf = f"kv-{uuid4().hex[:8]}", LongPoll(b'{"limit": 1}')
    bao.kv(mount, 2)
    bao.write(f"{mount}/data/db", {"data": {"password": "first"}})
    with (
        serving(shelf) as server,
        running(tmp_path, configuration(bao, mount, f"{server.url}/file", app), TEST_TOKEN=bao.token) as sidecar,
    ):
        made = Together(bao, mount, shelf, sidecar)
        until(lambda: made.shows("password=first limit=1") and shelf.held and app.heard)
        yield made


def test_a_change_is_rendered_at_once_told_once_and_costs_the_other_source_one_look(
    together: Together, app: App
) -> None:
    before = together.sidecar.state("app")["revision"]
    for turn in (2, 3):
        together.put_limit(turn)
        until(lambda turn=turn: together.shows(f"password=first limit={turn}"))
        until(lambda turn=turn: len(app.heard) == turn)
    until(lambda: together.shelf.held)
    state = together.sidecar.state("app")
    assert (state["generation"], together.reads) == (3, 3)
    assert revision_of_secret(state["revision"]) == revision_of_secret(before)


def revision_of_secret(revision: str) -> str:
    return str(json.loads(revision.rpartition("+")[0])["db"])


def test_what_the_other_source_has_new_comes_with_the_same_flip(together: Together, app: App) -> None:
    together.put_password("second")
    together.put_limit(2)
    until(lambda: together.shows("password=second limit=2"))
    until(lambda: len(app.heard) == 2)
    assert (together.sidecar.state("app")["generation"], together.reads) == (2, 2)


def test_what_it_can_not_be_rendered_of_is_refused_and_the_next_change_is_seen_at_once(together: Together) -> None:
    together.shelf.put(b'{"limits": 2}')
    error = until(lambda: together.sidecar.state("app")["error"])
    assert error == "app.conf: inline: line 1: 'flags.data.limit' is undefined"
    assert together.shows("password=first limit=1")
    together.put_limit(3)
    until(lambda: together.shows("password=first limit=3"))
