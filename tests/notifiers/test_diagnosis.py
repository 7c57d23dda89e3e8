"""Apps looked at without telling them anything."""

import os
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from refresher.abilities import Observation, Verdict
from refresher.contract import Change
from refresher.demo.process import free_port
from refresher.notifiers.command import CommandNotifier, CommandOptions
from refresher.notifiers.http import HttpNotifier, HttpOptions
from refresher.notifiers.marker import MarkerNotifier, MarkerOptions
from refresher.notifiers.signal import SignalNotifier, SignalOptions
from tests.certificates import Authority, Issued
from tests.diagnoses import black_hole
from tests.fakes.app import App
from tests.fakes.changes import change
from tests.traces import traces
from tests.waiting import until


def http(url: str, **options: Any) -> HttpNotifier:
    return HttpNotifier(HttpOptions.model_validate({"url": url, **options}))


def only(observations: Iterable[Observation]) -> Observation:
    (found,) = observations
    return found


def test_an_app_that_listens_is_well_and_hears_nothing() -> None:
    with App().running() as app:
        assert only(http(app.url).diagnose(None)).verdict is Verdict.OK
        assert app.heard == []


def test_an_app_that_is_not_up_fails_without_a_word_of_its_query() -> None:
    found = only(http(f"http://127.0.0.1:{free_port()}/reload?key=opensesame").diagnose(None))
    assert found.verdict is Verdict.FAIL
    assert "not up yet" in found.seen
    assert "opensesame" not in str(found)


def test_an_app_that_never_answers_a_handshake_is_given_up() -> None:
    with black_hole() as address:
        assert "no answer within 3 s" in only(http(f"https://{address}/").diagnose(None)).seen


def served(directory: Path, issued: Issued) -> ssl.SSLContext:
    """What a TLS app serves with the certificate."""
    for name, content in (("served.crt", issued.pem), ("served.key", issued.key_pem)):
        (directory / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "served.crt", directory / "served.key")
    return context


@pytest.mark.parametrize("same", [True, False])
def test_the_certificate_that_is_served_is_compared_with_the_published_one(tmp_path: Path, same: bool) -> None:
    root = Authority.root()
    old, new = root.issue("app.example"), root.issue("app.example")
    (tmp_path / "tls.crt").write_bytes(new.pem)
    with App().running(served(tmp_path, new if same else old)) as secured, App().running() as app:
        confirm = {"tls": f"127.0.0.1:{secured.port}", "name": "app.example"}
        _, confirmed = http(app.url, confirm=confirm).diagnose(published(tmp_path))
        assert confirmed.of == "confirm"
        assert confirmed.verdict is (Verdict.OK if same else Verdict.WARN)
        assert app.heard == []


def published(directory: Path) -> Change:
    return change(path=directory)


def test_what_an_app_runs_is_asked_for_only_if_something_is_published() -> None:
    with App().running() as app:
        notifier = http(app.url, confirm={"http": {"url": f"{app.url}/status", "contains": "x"}})
        _, confirmed = notifier.diagnose(None)
    assert confirmed.verdict is Verdict.SKIPPED


def test_what_an_app_runs_is_looked_at_however_it_is_told(tmp_path: Path) -> None:
    with App().running() as app:
        app.answering(200, b"generation 7")
        confirm = {"http": {"url": app.url, "contains": "generation {{generation}}"}}
        for notifier in (
            SignalNotifier(SignalOptions.model_validate({"process": "nobody-is-called-so", "confirm": confirm})),
            CommandNotifier(CommandOptions.model_validate({"argv": ["true"], "confirm": confirm})),
            MarkerNotifier(MarkerOptions.model_validate({"path": tmp_path / "marker.json", "confirm": confirm})),
        ):
            *_, running = notifier.diagnose(change(generation=7))
            *_, lagging = notifier.diagnose(change(generation=8))
            assert [each.of for each in (running, lagging)] == ["confirm", "confirm"]
            assert [each.verdict for each in (running, lagging)] == [Verdict.OK, Verdict.WARN]


def test_a_process_that_fits_is_found_and_sent_nothing() -> None:
    seconds = f"61.{os.getpid()}"  # so long sleeps nobody else
    with subprocess.Popen(["sleep", seconds]) as sleeper:
        notifier = SignalNotifier(SignalOptions(process=f"sleep {seconds}", signal="TERM"))
        found = until(lambda: [each for each in notifier.diagnose(None) if each.verdict is Verdict.OK])
        assert str(sleeper.pid) in found[0].seen
        assert sleeper.poll() is None
        sleeper.kill()


def test_no_process_that_fits_and_no_pid_file_fail() -> None:
    options = SignalOptions(process="nobody-is-called-so")
    assert "shareProcessNamespace" in only(SignalNotifier(options).diagnose(None)).advice
    named = options.model_copy(update={"pid_file": Path("/none")})
    assert "PID file" in only(SignalNotifier(named).diagnose(None)).seen


def test_a_command_is_looked_for_and_not_run(tmp_path: Path) -> None:
    program = tmp_path / "reload"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    notifier = CommandNotifier(CommandOptions(argv=(str(program),)))
    assert only(notifier.diagnose(None)).verdict is Verdict.FAIL
    program.chmod(0o755)
    assert only(notifier.diagnose(None)).verdict is Verdict.OK
    assert not (tmp_path / "ran").exists()
    assert only(CommandNotifier(CommandOptions(argv=("true",))).diagnose(None)).verdict is Verdict.OK


def test_a_markers_directory_is_looked_at_and_left_alone(tmp_path: Path) -> None:
    before = traces(tmp_path)
    assert only(MarkerNotifier(MarkerOptions(path=tmp_path / "m.json")).diagnose(None)).verdict is Verdict.OK
    missing = only(MarkerNotifier(MarkerOptions(path=tmp_path / "none/m.json")).diagnose(None))
    assert missing.advice == "Make the directory, or mount the volume that it is on."
    assert only(MarkerNotifier(MarkerOptions(path=tmp_path)).diagnose(None)).seen == f"{tmp_path} is a directory"
    assert traces(tmp_path) == before
