"""What a reload brings to a running sidecar besides content: another trigger, a wait, a budget, sources, rendering."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Condition
from typing import Any

import pytest

from refresher.demo.openbao import OpenBao
from tests.fakes.app import App
from tests.fakes.long_poll import LongPoll, serving
from tests.fakes.web import Page, Request, WebServer, web_server
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.providers.databases import database, role
from tests.servers.postgres import Postgres
from tests.waiting import until
from tests.written import put

SELDOM = {"every": "365d"}
"""The first look after a start, or out of turn, comes anywhere within it."""


class Slow:
    """Answers one at a time what it is told to, and knows how many were asked side by side at the most."""

    def __init__(self) -> None:
        self.changed, self.inside, self.most, self.let_in = Condition(), 0, 0, 0

    def __call__(self, request: Request) -> None:
        with self.changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.changed.wait_for(lambda: self.let_in > 0, timeout=60)
            self.let_in -= 1
            self.inside -= 1
        Page(request.path.encode(), etag=f'"{request.path}"')(request)

    def admit(self, count: int) -> None:
        with self.changed:
            self.let_in += count
            self.changed.notify_all()


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as server:
        server.respond = lambda request: Page(request.path.encode(), etag=f'"{request.path}"')(request)
        yield server


def asset(url: str, **keys: Any) -> dict[str, Any]:
    return {"source": {"http": {"url": url, "name": "file"}}, "refresh": SELDOM, **keys}


def content(sidecar: Sidecar, path: str) -> bytes | None:
    there = sidecar.volume / path
    return there.read_bytes() if there.exists() else None


def is_read(sidecar: Sidecar, times: int) -> bool:
    """Whether it was read so many times with a change in it; one more reading, of the same, is no harm."""
    read = [line for line in sidecar.logged().splitlines() if "the configuration was read again" in line]
    return sum("nothing differs" not in line for line in read) >= times


def test_a_wait_that_is_added_while_it_runs_counts_at_once_and_nothing_is_fetched_for_it(tmp_path: Path) -> None:
    shelf = LongPoll()
    with serving(shelf) as server:
        source = {"http": {"url": f"{server.url}/file"}}
        with running(tmp_path, {"assets": {"flags": {"source": source, "refresh": SELDOM}}}) as sidecar:
            until(lambda: sidecar.state("flags")["notified_generation"] == 1)
            assert not shelf.held
            sidecar.configure(
                assets={"flags": {"source": {"http": {**source["http"], "wait": "5m"}}, "refresh": SELDOM}}
            )
            until(lambda: shelf.held, within=60)
            assert sidecar.state("flags")["generation"] == 1
            shelf.put(b"two")
            until(lambda: content(sidecar, "flags/file") == b"two")
            until(lambda: shelf.held)
            sidecar.configure(assets={"flags": {"source": source, "refresh": SELDOM}})
            until(lambda: is_read(sidecar, 2), within=60)
            shelf.put(b"three")
            assert sidecar.ask("POST", "/refresh/flags").status == 200
            assert content(sidecar, "flags/file") == b"three"
            until(lambda: not shelf.held)


def test_a_trigger_file_that_a_reload_adds_is_heard_and_one_that_it_takes_away_is_not(
    tmp_path: Path, server: WebServer
) -> None:
    with running(tmp_path, {"assets": {"web": asset(f"{server.url}/one")}}) as sidecar:
        until(lambda: sidecar.state("web")["generation"] == 1)
        trigger = sidecar.volume / "now"
        trigger.touch()
        sidecar.configure(assets={"web": asset(f"{server.url}/one", refresh={**SELDOM, "trigger": "now"})})
        until(lambda: not trigger.exists(), within=60)  # what was there before counts, as after a start
        trigger.touch()
        until(lambda: not trigger.exists())
        assert [asked.path for asked in server.asked] == ["/one"] * 3
        sidecar.configure(assets={"web": asset(f"{server.url}/one", refresh={**SELDOM, "trigger": "then"})})
        then = sidecar.volume / "then"
        then.touch()
        until(lambda: not then.exists(), within=60)
        trigger.touch()
        then.touch()
        until(lambda: not then.exists())
        assert trigger.exists()


def test_a_budget_that_a_reload_changes_counts_at_once_for_those_who_wait(tmp_path: Path) -> None:
    slow = Slow()
    with web_server() as server:
        server.respond = slow
        assets = {f"a{number}": asset(f"{server.url}/{number}") for number in range(6)}
        with running(tmp_path, {"assets": assets, "endpoints": {"concurrency": 1}}) as sidecar:
            until(lambda: slow.inside == 1)
            sidecar.configure(endpoints={"concurrency": 4})
            until(lambda: slow.inside == 4, within=60)
            slow.admit(6)
            until(lambda: all(sidecar.state(name)["generation"] == 1 for name in assets))
            assert slow.most == 4
            sidecar.configure(endpoints={"concurrency": 0})
            until(lambda: not sidecar.ask("GET", "/assets").json()["configuration"]["valid"], within=60)
            (problem,) = sidecar.ask("GET", "/assets").json()["configuration"]["problems"]
    assert problem == "endpoints.concurrency: must be more than 0, found 0"


def test_an_asset_that_is_taken_out_while_its_server_is_away_leaves_the_line_to_the_others(
    tmp_path: Path, server: WebServer
) -> None:
    server.respond = lambda request: request.reply(503)
    assets = {name: asset(f"{server.url}/{name}") for name in ("one", "two", "three")}
    with running(tmp_path, {"assets": assets}) as sidecar:
        until(lambda: sidecar.state("one")["endpoint"]["failures"] >= 2)
        sidecar.configure(assets={"two": assets["two"], "new": asset(f"{server.url}/new")})
        until(lambda: is_read(sidecar, 1), within=60)
        server.respond = lambda request: Page(request.path.encode(), etag=f'"{request.path}"')(request)
        until(lambda: sidecar.state("two")["generation"] == sidecar.state("new")["generation"] == 1, within=60)
        assert sidecar.ask("GET", "/assets/one").status == 404
    assert "Traceback" not in sidecar.logged()


def test_a_template_over_several_sources_is_edited_while_one_is_away_and_another_is_waited_at(
    tmp_path: Path, server: WebServer
) -> None:
    shelf, template = LongPoll(), tmp_path / "app.j2"
    template.write_text("{{ flags.file }} {{ keys.file }}")
    with serving(shelf) as waited:
        sources = {
            "flags": {"http": {"url": f"{waited.url}/file", "wait": "5m"}},
            "keys": {"http": {"url": f"{server.url}/keys", "name": "file"}},
        }
        app = {"sources": sources, "render": {"app": "app.j2"}, "refresh": SELDOM}
        with running(tmp_path, {"assets": {"app": app}}) as sidecar:
            until(lambda: shelf.held)
            assert content(sidecar, "app/app") == b"one /keys"
            well = server.respond
            server.respond = lambda request: request.reply(503)
            put(template, "{{ flags.file }} and {{ keys.file }}")
            error = until(lambda: sidecar.state("app")["error"], within=60)
            assert error.startswith("keys: ")
            assert content(sidecar, "app/app") == b"one /keys"
            shelf.put(b"two")
            put(template, "{{ flags.file }} & {{ keys.file }}")
            until(lambda: is_read(sidecar, 2), within=60)
            assert content(sidecar, "app/app") == b"one /keys"
            server.respond = well
            until(lambda: content(sidecar, "app/app") == b"two & /keys", within=60)
            until(lambda: shelf.held)
            shelf.put(b"three")
            until(lambda: content(sidecar, "app/app") == b"three & /keys")
    assert "Traceback" not in sidecar.logged()


def test_sighup_and_sigusr1_at_once_are_both_answered(tmp_path: Path, server: WebServer) -> None:
    with running(tmp_path, {"assets": {"web": asset(f"{server.url}/one")}}) as sidecar:
        until(lambda: sidecar.state("web")["generation"] == 1)
        assert sidecar.process is not None
        sidecar.configure(assets={"web": asset(f"{server.url}/two")})
        for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP):
            os.kill(sidecar.process.pid, number)
        until(lambda: content(sidecar, "web/file") == b"/two")
        until(lambda: "SIGUSR1 came" in sidecar.logged())
        assert sidecar.ask("GET", "/assets").json()["configuration"]["valid"]
        assert sidecar.stop() == 0


def test_a_login_that_an_edited_template_replaces_is_ended_once_the_app_has_heard(
    tmp_path: Path, bao: OpenBao, postgres: Postgres, pki: Pki, app: App
) -> None:
    template = tmp_path / "login.j2"
    template.write_text("{{ username }} {{ password }}")
    with database(bao, postgres) as mount:
        role(bao, mount, default_ttl="1h", max_ttl="2h")
        db = {"source": f"vault://{mount}/creds/app", "render": {"login": "login.j2"}, "publish": {"grace": "1s"}}
        told = {"notify": [{"http": {"url": f"{app.url}/reload"}}]}
        with running(tmp_path, pki.configuration(db={**db, **told})) as sidecar:
            until(lambda: len(app.heard) == 1)
            first = str((sidecar.volume / "db/login").read_text()).split()
            assert postgres.lets_in(*first)
            put(template, "{{ username }}\n{{ password }}")
            until(lambda: len(app.heard) == 2, within=60)
            second = str((sidecar.volume / "db/login").read_text()).split()
            assert postgres.lets_in(*second)
            until(lambda: not postgres.lets_in(*first), within=30)
            assert postgres.lets_in(*second)
            assert first != second
            put(template, "{{ username | qoute }}")
            until(lambda: not sidecar.ask("GET", "/assets").json()["configuration"]["valid"], within=60)
            assert postgres.lets_in(*second)
            assert bao.requests(f"{mount}/creds/app") == [f"read {mount}/creds/app"] * 2
