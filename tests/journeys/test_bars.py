"""Bars for what takes its time, on a terminal and nowhere else."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from refresher.client import Client
from refresher.demo.caddy import Caddy
from refresher.demo.process import free_port
from tests.fakes.portions import Portions
from tests.fakes.raw_server import raw_server
from tests.journeys.sidecar import Sidecar, running
from tests.journeys.terminal import Terminal, on_terminal
from tests.waiting import until

SHOW_CURSOR = "\x1b[?25h"


@contextmanager
def slow_source(tmp_path: Path, count: int = 4) -> Iterator[tuple[Sidecar, Portions]]:
    portions = Portions(count)
    with raw_server(portions) as url:
        yield Sidecar(tmp_path, {"assets": {"model": {"source": f"{url}/model.bin"}}}, {}), portions


@contextmanager
def command(sidecar: Sidecar, *words: str, **environment: str) -> Iterator[Terminal]:
    argv = ("-m", "refresher", *words, "-c", str(sidecar.config))
    with on_terminal(*argv, environment=sidecar.environment_of_process(), **environment) as terminal:
        yield terminal


def expect_moving_bar(terminal: Terminal, portions: Portions) -> None:
    """See the bar move with each portion, up to the last but one."""
    for done in (1, 2, 3):
        portions.next()
        until(lambda done=done: re.search(rf"model.*{done}\.0/4\.0 MB", terminal.written), within=30)  # type: ignore[misc]


def test_once_shows_a_moving_bar_on_a_terminal_and_takes_it_away_at_the_end(tmp_path: Path) -> None:
    with slow_source(tmp_path) as (sidecar, portions), command(sidecar, "once") as terminal:
        expect_moving_bar(terminal, portions)
        portions.next()
        assert terminal.ended() == 0
        assert "B/s" in terminal.written
        assert re.search(
            r"\x1b\[2K\S+Z INFO +model: published generation 1", terminal.written.rpartition(SHOW_CURSOR)[2]
        )
    assert (sidecar.volume / "model/model.bin").stat().st_size == 4_000_000


@pytest.mark.parametrize("listen", ["127.0.0.1:{port}", "0.0.0.0:{port}", "unix:{directory}/control.sock"])
def test_refresh_shows_what_comes_while_it_waits_for_the_sidecar(tmp_path: Path, listen: str) -> None:
    (tmp_path / "token").write_text("opensesame")
    token = {"file": str(tmp_path / "token")}
    control = {"listen": listen.format(port=free_port(), directory=tmp_path), "token": token}
    portions = Portions(4)
    with raw_server(portions) as url:
        asset = {"source": f"{url}/model.bin", "refresh": {"every": 0}}
        portions.next(4)
        with running(tmp_path, {"assets": {"model": asset}, "control": control}) as sidecar:
            until((sidecar.volume / "model/model.bin").exists)
            for words in (("model",), ()):
                with command(sidecar, "refresh", *words) as terminal:
                    expect_moving_bar(terminal, portions)
                    portions.next()
                    assert terminal.ended() == 0
                    assert "unchanged" in terminal.written.rpartition(SHOW_CURSOR)[2]


def test_status_shows_what_is_on_its_way_and_nothing_afterwards(tmp_path: Path) -> None:
    portions = Portions(4)
    with (
        raw_server(portions) as url,
        running(tmp_path, {"assets": {"model": {"source": f"{url}/model.bin", "refresh": {"every": 0}}}}) as sidecar,
    ):
        portions.next(2)
        until(lambda: (sidecar.state("model")["transfer"] or {}).get("received") == 2_000_000)
        assert "2.0 MB of 4.0 MB" in sidecar.command("status").stdout
        assert json.loads(sidecar.command("status", "--json").stdout)[0]["transfer"]["expected"] == 4_000_000
        assert 'refresher_transfer_bytes{asset="model"} 2e+06' in sidecar.metrics()
        portions.next(2)
        until(lambda: sidecar.state("model")["generation"] == 1)
        assert sidecar.state("model")["transfer"] is None
        assert "downloading" not in sidecar.command("status").stdout
        assert 'refresher_transfer_bytes{asset="model"} 0.0' in sidecar.metrics()
        until(lambda: 'refresher_fetched_bytes_total{asset="model"} 4e+06' in sidecar.metrics())


def test_where_nobody_answers_nothing_is_on_its_way() -> None:
    for assets in ([], ["model"]):
        assert Client(f"127.0.0.1:{free_port()}").transfers(assets) == {}


@pytest.fixture
def throttled(caddy: Caddy) -> Iterator[dict[str, Any]]:
    """What takes two seconds by itself."""
    source = caddy.root / f"model-{uuid4().hex}.bin"
    source.write_bytes(bytes(3_000_000))
    yield {"assets": {"model": {"source": f"{caddy.url}/{source.name}", "limits": {"max_rate": "1MB"}}}}
    source.unlink()


def test_a_pipe_gets_no_bar_whatever_the_environment_says(tmp_path: Path, throttled: dict[str, Any]) -> None:
    drawing = {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"}
    ended = Sidecar(tmp_path, throttled, drawing).command("once")
    assert ended.stdout == ""
    assert [json.loads(line)["message"] for line in ended.stderr.splitlines()] == ["model: published generation 1"]


@pytest.mark.parametrize(("terminal", "bar"), [("dumb", False), ("xterm", True)])
def test_a_dumb_terminal_gets_no_bar(tmp_path: Path, throttled: dict[str, Any], terminal: str, bar: bool) -> None:
    with command(Sidecar(tmp_path, throttled, {}), "once", TERM=terminal) as shown:
        assert shown.ended() == 0
        assert ("/3.0 MB" in shown.written) is bar


@pytest.mark.parametrize(("no_colour", "colour"), [("1", False), ("", True)])
def test_a_bar_has_no_colour_where_nobody_wants_one(
    tmp_path: Path, throttled: dict[str, Any], no_colour: str, colour: bool
) -> None:
    with command(Sidecar(tmp_path, throttled, {}), "once", NO_COLOR=no_colour) as shown:
        assert shown.ended() == 0
        assert "/3.0 MB" in shown.written
        assert bool(re.search(r"\x1b\[[0-9;]*3[0-9;]*m", shown.written)) is colour


def test_json_comes_without_a_bar(tmp_path: Path, throttled: dict[str, Any]) -> None:
    with running(tmp_path, throttled) as sidecar:
        until(lambda: sidecar.state("model")["transfer"])
        with command(sidecar, "refresh", "--json") as shown:
            assert shown.ended() == 0
        assert [outcome["asset"] for outcome in json.loads(shown.written)] == ["model"]


LOGGING = """
import logging, sys
from itertools import count
from threading import Event
from refresher.bars import bars
from refresher.logs import configure
from refresher.traffic import Transfer

looks, drawn = count(1), [Event() for _ in range(9)]

def transfers():
    look = next(looks)
    if look < len(drawn):
        drawn[look].set()
    whole = Transfer(received=9000, expected=9000, seconds=1.0, rate=1.0)
    part = Transfer(received=min(look, 8) * 1000, expected=9000, seconds=1.0, rate=1.0)
    return {"model": part, "rules": whole}

configure(sys.stderr)
log = logging.getLogger("refresher")
with bars(transfers):
    for look in (3, 4, 6):
        assert drawn[look].wait(60)
        log.warning("line %d of a log with [brackets] that is longer than the terminal is wide %s", look, "x" * 100)
log.warning("the last line")
"""


def test_lines_of_the_log_stand_above_the_bar_and_not_in_it() -> None:
    with on_terminal("-c", LOGGING) as terminal:
        assert terminal.ended() == 0
    rows = re.split(r"[\r\n]+|\x1b\[[0-9]*[AK]", terminal.written)
    log = [row for row in rows if "WARNING" in row]
    assert [re.sub(r"^\S+Z WARNING ", "", row)[:6] for row in log] == ["line 3", "line 4", "line 6", "the la"]
    assert all(row.endswith("x" * 100) for row in log[:3])
    assert any("model" in row for row in rows)


def test_what_has_come_is_said_to_be_checked_until_it_is_published() -> None:
    with on_terminal("-c", LOGGING) as terminal:
        assert terminal.ended() == 0
    assert "rules, being checked" in terminal.written
    assert "model, being checked" not in terminal.written


def test_a_sidecar_never_loads_what_draws_bars(tmp_path: Path, throttled: dict[str, Any]) -> None:
    with running(tmp_path, throttled, PYTHONPROFILEIMPORTTIME="1") as it:
        until(lambda: it.state("model")["generation"] == 1)
        loaded = set(re.findall(r"^import time:.*\| +(\w+)", it.logged(), flags=re.M))
    assert {"refresher", "typer"} <= loaded
    assert "rich" not in loaded
