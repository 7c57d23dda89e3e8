"""The command line, as people and scripts use it."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import jsonschema
import pytest
import yaml

from refresher.demo.caddy import Caddy
from refresher.demo.process import free_port
from tests.fakes.app import App
from tests.fakes.portions import Portions
from tests.fakes.raw_server import raw_server
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until


def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "refresher", *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


@pytest.fixture
def source(caddy: Caddy) -> Path:
    path = caddy.root / f"file-{uuid4().hex}.txt"
    path.write_text("one")
    return path


@contextmanager
def end_of_test() -> Iterator[threading.Event]:
    """Set when the test is over: what a source that never answers waits for."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


def configured(tmp_path: Path, caddy: Caddy, source: Path, **asset: object) -> Sidecar:
    return Sidecar(tmp_path, {"assets": {"conf": {"source": f"{caddy.url}/{source.name}", **asset}}}, {})


def test_check_says_that_a_configuration_is_valid_and_contacts_nobody(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path, {"assets": {"conf": {"source": f"http://127.0.0.1:{free_port()}/x"}}}, {})
    ended = sidecar.command("check")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "valid: 1 asset" in ended.stdout


def test_check_reports_every_mistake_with_its_full_key_and_exits_with_2(tmp_path: Path) -> None:
    asset = {"source": "ftp://x", "refresh": {"every": "soon"}, "verifi": []}
    ended = Sidecar(tmp_path, {"assets": {"conf": asset}, "volumes": "/x"}, {}).command("check")
    assert ended.returncode == 2
    for key in ("assets.conf.source", "assets.conf.refresh.every", "assets.conf.verifi", "volumes"):
        assert key in ended.stderr
    assert "'soon'" in ended.stderr


@pytest.mark.parametrize("command", ["run", "once", "check", "plan", "doctor", "status", "refresh"])
def test_a_missing_configuration_is_exit_code_2_for_every_command(tmp_path: Path, command: str) -> None:
    ended = run(command, "-c", str(tmp_path / "none.yaml"))
    assert ended.returncode == 2
    assert "none.yaml" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["run", "once", "check", "plan", "doctor"])
def test_where_no_configuration_is_the_ways_to_name_one_are_told(tmp_path: Path, command: str) -> None:
    ended = run(command, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "refresher.yaml: is not in this directory; -c or REFRESHER_CONFIG names another file\n"


@pytest.mark.parametrize("command", ["status", "refresh"])
def test_no_sidecar_to_ask_is_exit_code_3(tmp_path: Path, caddy: Caddy, source: Path, command: str) -> None:
    ended = configured(tmp_path, caddy, source).command(command)
    assert ended.returncode == 3
    assert "no sidecar answers" in ended.stderr


def test_status_shows_a_table_to_people_and_a_document_to_machines(tmp_path: Path, caddy: Caddy, source: Path) -> None:
    configuration = {"assets": {"conf": {"source": f"{caddy.url}/{source.name}"}}}
    with running(tmp_path, configuration) as sidecar:
        until(lambda: sidecar.state("conf")["generation"] == 1)
        table, document = sidecar.command("status"), sidecar.command("status", "--json")
        assert table.stdout.splitlines()[1].split()[:4] == ["✓", "conf", "fresh", "1"]
        assert json.loads(document.stdout)[0]["asset"] == "conf"
        assert sidecar.command("status", "other").returncode == 2


def test_refresh_waits_for_the_outcome_and_prints_it(tmp_path: Path, caddy: Caddy, source: Path) -> None:
    configuration = {"assets": {"conf": {"source": f"{caddy.url}/{source.name}", "refresh": {"every": 0}}}}
    with running(tmp_path, configuration) as sidecar:
        until(lambda: sidecar.state("conf")["generation"] == 1)
        source.write_text("second")
        ended = sidecar.command("refresh", "conf")
        assert (ended.returncode, (sidecar.volume / "conf" / source.name).read_text()) == (0, "second")
        assert ended.stdout.splitlines()[1].split() == ["✓", "conf", "published", "2"]
        assert sidecar.command("refresh", "--no-wait").returncode == 0
        assert sidecar.command("refresh").returncode == 0  # and with it the one that nobody waited for
        source.unlink()
        assert sidecar.command("refresh").returncode == 1


@pytest.mark.parametrize("command", ["status", "refresh", "rollback", "unpin"])
def test_an_asset_that_there_is_not_is_named_and_exit_code_2(
    tmp_path: Path, caddy: Caddy, source: Path, command: str
) -> None:
    control = {"listen": f"unix:{tmp_path}/control.sock"}
    configuration = {"assets": {"conf": {"source": f"{caddy.url}/{source.name}"}}, "control": control}
    with running(tmp_path, configuration) as sidecar:
        ended = sidecar.command(command, "nope")
        assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", "no such asset: nope\n")


def test_refresh_prints_the_outcomes_that_there_are_and_says_what_is_wrong_with_the_rest(
    tmp_path: Path, caddy: Caddy, source: Path
) -> None:
    configuration = {"assets": {"conf": {"source": f"{caddy.url}/{source.name}"}}}
    with running(tmp_path, configuration) as sidecar:
        for words in (("conf", "nope"), ("nope", "conf")):
            ended = sidecar.command("refresh", "--json", *words)
            assert [outcome["asset"] for outcome in json.loads(ended.stdout)] == ["conf"]
            assert (ended.returncode, ended.stderr) == (2, "no such asset: nope\n")


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "[::]"])
def test_the_commands_reach_a_sidecar_that_listens_everywhere(
    tmp_path: Path, caddy: Caddy, source: Path, wildcard: str
) -> None:
    (tmp_path / "token").write_text("opensesame\n")
    control = {"listen": f"{wildcard}:{free_port()}", "token": {"file": str(tmp_path / "token")}}
    configuration = {"assets": {"conf": {"source": f"{caddy.url}/{source.name}"}}, "control": control}
    with running(tmp_path, configuration) as sidecar:
        ended = sidecar.command("refresh")
        assert ended.returncode == 0, ended.stderr
        assert sidecar.command("status").returncode == 0


@pytest.mark.parametrize("command", [("refresh",), ("status",), ("rollback", "conf"), ("unpin", "conf")])
@pytest.mark.parametrize("token", [None, b"open\nsesame", "opensésame".encode()])
def test_a_token_that_cannot_be_sent_is_named_but_not_shown_and_exit_code_2(
    tmp_path: Path, command: tuple[str, ...], token: bytes | None
) -> None:
    if token:
        (tmp_path / "token").write_bytes(token)
    control = {"listen": f"127.0.0.1:{free_port()}", "token": {"file": str(tmp_path / "token")}}
    configuration = {"assets": {"conf": {"source": "http://127.0.0.1:9/x"}}, "control": control}
    ended = Sidecar(tmp_path, configuration, {}).command(*command)
    assert ended.returncode == 2
    assert str(tmp_path / "token") in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "same" not in ended.stderr


def test_refresh_and_status_speak_over_a_unix_socket_with_a_token(tmp_path: Path, caddy: Caddy, source: Path) -> None:
    (tmp_path / "token").write_text("opensesame\n")
    control = {"listen": f"unix:{tmp_path}/control.sock", "token": {"file": str(tmp_path / "token")}}
    configuration = {"assets": {"conf": {"source": f"{caddy.url}/{source.name}"}}, "control": control}
    with running(tmp_path, configuration) as sidecar:
        until(lambda: sidecar.command("refresh").returncode == 0)
        assert "conf" in sidecar.command("status").stdout
        (tmp_path / "token").write_text("rotated")
        assert sidecar.command("refresh").returncode == 0
        assert "opensesame" not in sidecar.logged()


def test_once_exits_with_0_during_an_outage_if_good_files_are_held_and_with_1_if_not_or_if_strict(
    tmp_path: Path, caddy: Caddy, source: Path
) -> None:
    sidecar = configured(tmp_path, caddy, source)
    kept = source.read_text()
    source.unlink()
    assert sidecar.command("once").returncode == 1
    source.write_text(kept)
    assert sidecar.command("once").returncode == 0
    source.unlink()
    assert sidecar.command("once").returncode == 0
    assert sidecar.command("once", "--strict").returncode == 1


def test_once_ignores_an_optional_asset_that_fails(tmp_path: Path, caddy: Caddy, source: Path) -> None:
    source.unlink()
    assert configured(tmp_path, caddy, source, required=False).command("once").returncode == 0


def test_once_tells_only_when_asked_to(tmp_path: Path, caddy: Caddy, source: Path) -> None:
    with App().running() as app:
        sidecar = configured(tmp_path, caddy, source, notify=[{"http": {"url": app.url}}])
        assert sidecar.command("once").returncode == 0
        assert app.heard == []
        assert sidecar.command("once", "--notify").returncode == 0
        assert len(app.heard) == 1


def test_once_ends_within_its_timeout_although_a_source_never_answers(tmp_path: Path) -> None:
    with App().running() as silent, end_of_test() as over:
        silent.answers = lambda heard: (503 if over.wait(60) else 504, {}, b"")
        sidecar = Sidecar(tmp_path, {"assets": {"conf": {"source": f"{silent.url}/x"}}}, {})
        began = time.monotonic()
        ended = sidecar.command("once", "--timeout", "1s")
        assert time.monotonic() - began < 30
        (line,) = map(json.loads, ended.stderr.splitlines())
        assert (ended.returncode, line["level"], line["asset"]) == (1, "warning", "conf")
        assert line["message"].startswith("conf: not done within --timeout 1s")


@pytest.mark.parametrize(
    ("size", "next_run"), [(12, "what came is kept for the next run"), (6, "the next run begins anew")]
)
def test_once_says_how_far_a_file_is_that_does_not_come_within_its_timeout(
    tmp_path: Path, size: int, next_run: str
) -> None:
    portions = Portions(size)
    portions.next(3)
    with raw_server(portions) as url:
        sidecar = Sidecar(tmp_path, {"assets": {"model": {"source": f"{url}/model.bin"}}}, {})
        ended = sidecar.command("once", "--timeout", "10s")
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert (ended.returncode, 0 < line["fetched_bytes"] <= 3_000_000) == (1, True)
    said = rf"model: not done within --timeout 10s: [1-3]\.\d MB of the {size}\.0 MB to come have come; {next_run}; "
    assert re.match(said, line["message"]), line["message"]
    journals = list(sidecar.volume.glob("model/..refresher/incoming-*/journal.json"))
    assert len(journals) == int("kept" in next_run)


def test_the_schema_describes_the_configuration(tmp_path: Path, caddy: Caddy, source: Path) -> None:
    ended = run("schema")
    schema = json.loads(ended.stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    good = yaml.safe_load(configured(tmp_path, caddy, source).config.read_text())
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(good)) == []
    assert list(validator.iter_errors({**good, "volumes": "/x"})) != []


def test_the_sidecar_ends_soon_after_sigterm_although_a_source_never_answers(tmp_path: Path) -> None:
    with App().running() as silent, end_of_test() as over:
        silent.answers = lambda heard: (503 if over.wait(60) else 504, {}, b"")
        sidecar = Sidecar(tmp_path, {"assets": {"conf": {"source": f"{silent.url}/x"}}}, {})
        sidecar.start()
        until(lambda: silent.heard)
        began = time.monotonic()
        assert sidecar.stop() == 0
        assert time.monotonic() - began < 30


def test_files_that_are_being_made_visible_when_sigterm_comes_all_are(tmp_path: Path) -> None:
    source, many = tmp_path / "source", 1500
    source.mkdir()
    for number in range(many):
        (source / f"old{number}").write_text("x")
    asset = {"source": f"file://{source}", "refresh": {"every": "1d"}, "publish": {"fsync": False}}
    with running(tmp_path, {"assets": {"conf": asset}}) as sidecar:
        until(lambda: sidecar.state("conf")["generation"] == 1)
        for number in range(many):
            (source / f"old{number}").rename(source / f"new{number}")
        shown = sidecar.volume / "conf"
        until(lambda: sidecar.ask("POST", "/refresh/conf?wait=false").status == 202)
        until(lambda: (shown / "..data/new0").exists(), every=0)
        began = time.monotonic()
        assert sidecar.stop() == 0
        assert time.monotonic() - began < 10
        visible = [path for path in shown.iterdir() if not path.name.startswith("..")]
        assert sorted(path.name for path in visible) == sorted(f"new{number}" for number in range(many))
        assert all(path.exists() for path in visible)


def test_a_refresh_may_be_waited_for_as_long_as_one_likes(tmp_path: Path) -> None:
    source = tmp_path / "app.conf"
    source.write_text("one")
    with running(tmp_path, {"assets": {"conf": {"source": f"file://{source}"}}}) as sidecar:
        for timeout in ("12d", "1h30m", "1234567ms"):
            assert sidecar.command("refresh", "--timeout", timeout).returncode == 0


def test_an_address_that_is_taken_is_named_and_exit_code_2(tmp_path: Path, caddy: Caddy, source: Path) -> None:
    with App().running() as other:
        configuration = {
            "assets": {"conf": {"source": f"{caddy.url}/{source.name}"}},
            "control": {"listen": f"127.0.0.1:{other.port}"},
        }
        ended = Sidecar(tmp_path, configuration, {}).command("run")
    assert ended.returncode == 2
    assert "control.listen" in ended.stderr


def test_a_generation_is_put_back_by_hand_and_stays_until_it_is_unpinned(
    tmp_path: Path, caddy: Caddy, source: Path
) -> None:
    control = {"listen": f"unix:{tmp_path}/control.sock"}
    asset = {
        "source": f"{caddy.url}/{source.name}",
        "refresh": {"every": 0},
        "notify": [{"marker": {"path": "conf.json"}}],
    }
    with running(tmp_path, {"assets": {"conf": asset}, "control": control}) as sidecar:
        shown, marker = sidecar.volume / "conf" / source.name, sidecar.volume / "conf.json"
        until(shown.exists)
        source.write_text("second")
        assert sidecar.command("refresh").returncode == 0
        ended = sidecar.command("rollback", "conf")
        assert (ended.returncode, shown.read_text()) == (0, "one"), ended.stderr
        until(lambda: json.loads(marker.read_text())["cause"] == "rolled-back")
        assert json.loads(sidecar.command("status", "--json").stdout)[0]["pinned"]
        assert sidecar.command("refresh").returncode == 0
        assert shown.read_text() == "one"
        assert sidecar.command("rollback", "conf", "--to", "9").returncode == 1
        assert sidecar.command("unpin", "conf").returncode == 0
        until(lambda: shown.read_text() == "second")
        until(lambda: json.loads(sidecar.command("status", "--json").stdout)[0]["generation"] == 3)
