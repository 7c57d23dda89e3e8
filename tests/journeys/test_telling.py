"""The app always hears: at least once, of the newest, whatever is killed in between."""

import json
import signal
import stat
from pathlib import Path
from uuid import uuid4

import pytest

from refresher.demo.caddy import Caddy
from refresher.demo.process import free_port
from tests.fakes.app import App, Heard
from tests.journeys.sidecar import Sidecar
from tests.waiting import until
from tests.written import put

KILL_BEFORE_HEARING = (
    'if [ -e "$1/armed" ]; then rm "$1/armed"; kill -KILL $PPID; exit 1; fi; echo $REFRESHER_GENERATION >> "$1/heard"'
)
KILL_AFTER_HEARING = (
    'echo $REFRESHER_GENERATION >> "$1/heard"; if [ -e "$1/armed" ]; then rm "$1/armed"; kill -KILL $PPID; fi'
)


@pytest.fixture
def source(caddy: Caddy) -> Path:
    path = caddy.root / f"conf-{uuid4().hex}.txt"
    path.write_text("one")
    return path


def script(directory: Path, text: str) -> list[str]:
    path = directory / "hear.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return [str(path), str(directory)]


@pytest.mark.parametrize(
    ("text", "times"), [(KILL_BEFORE_HEARING, ["1"]), (KILL_AFTER_HEARING, ["1", "1"])], ids=["before", "after"]
)
def test_a_sidecar_that_is_killed_while_it_tells_tells_after_its_restart(
    tmp_path: Path, caddy: Caddy, source: Path, text: str, times: list[str]
) -> None:
    (tmp_path / "armed").touch()
    asset = {"source": f"{caddy.url}/{source.name}", "notify": [{"command": {"argv": script(tmp_path, text)}}]}
    sidecar = Sidecar(tmp_path, {"assets": {"conf": asset}}, {})
    assert sidecar.begin().wait(30) == -signal.SIGKILL
    assert (sidecar.volume / "conf" / source.name).read_text() == "one"
    sidecar.start()
    try:
        until(lambda: sidecar.state("conf")["notified_generation"] == 1)
        assert (tmp_path / "heard").read_text().split() == times
    finally:
        sidecar.stop()


def test_an_app_that_was_down_during_five_generations_is_told_once_of_the_newest(
    tmp_path: Path, caddy: Caddy, source: Path
) -> None:
    port = free_port()
    asset = {
        "source": f"{caddy.url}/{source.name}",
        "refresh": {"every": 0},
        "notify": [{"http": {"url": f"http://127.0.0.1:{port}/"}}],
    }
    sidecar = Sidecar(tmp_path, {"assets": {"conf": asset}}, {})
    sidecar.start()
    try:
        until(lambda: sidecar.state("conf")["generation"] == 1)
        for number in range(5):
            source.write_text(f"{number}-{uuid4().hex}")
            until(lambda: sidecar.ask("POST", "/refresh/conf").json()["result"] == "published", every=0.2)
        generation = sidecar.state("conf")["generation"]
        assert generation >= 5
        with App(port=port).running() as app:
            # Each attempt so far has doubled the wait for the next, to half a minute or, on a slow machine, to five.
            until(lambda: sidecar.ask("POST", "/refresh/conf?until=told").status == 200, every=1)
            assert sidecar.state("conf")["notified_generation"] == generation
            assert [json.loads(heard.body)["generation"] for heard in app.heard] == [generation]
    finally:
        sidecar.stop()


def test_what_the_app_refuses_is_put_back_and_not_tried_again_until_the_source_changes(
    tmp_path: Path, caddy: Caddy, source: Path
) -> None:
    def answer(heard: Heard) -> tuple[int, dict[str, str], bytes]:
        shown = (tmp_path / "shared/conf" / source.name).read_text()
        return (422, {}, b"unknown directive") if "bad" in shown else (200, {}, b"")

    with App(answers=answer).running() as app:
        asset = {
            "source": f"{caddy.url}/{source.name}",
            "refresh": {"every": "200ms"},
            "on_reject": "rollback",
            "notify": [{"http": {"url": app.url}}],
        }
        sidecar = Sidecar(tmp_path, {"assets": {"conf": asset}}, {})
        sidecar.start()
        try:
            shown = sidecar.volume / "conf" / source.name
            until(lambda: sidecar.state("conf")["notified_generation"] == 1)
            put(source, "bad words")
            until(lambda: '"result": "rolled-back"' in sidecar.logged())
            until(lambda: "unknown directive" in str(sidecar.state("conf")["error"]))
            assert shown.read_text() == "one"
            until(lambda: len(app.heard) == 3)
            until(lambda: 'refreshes_total{asset="conf",result="rejected"} 3' in sidecar.metrics())
            assert [json.loads(one.body)["cause"] for one in app.heard[:3]] == ["published", "published", "rolled-back"]
            put(source, "good words")
            until(lambda: shown.read_text() == "good words")
            until(lambda: sidecar.state("conf")["notified_generation"] == 3)
            assert len(app.heard) == 4
        finally:
            sidecar.stop()
