import io
import json
import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from refresher.logs import FIELDS, THIRD_PARTY, UNHEARD, configure


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    for name in (*THIRD_PARTY, *UNHEARD):
        logging.getLogger(name).setLevel(logging.NOTSET)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(message: str, stream: io.StringIO, **extra: Any) -> str:
    configure(stream)
    logging.getLogger("refresher.tests").info(message, extra=extra)
    return stream.getvalue()


def fail(reason: str) -> None:
    raise RuntimeError(reason)


def log_failure(reason: str) -> None:
    try:
        try:
            fail(reason)
        except RuntimeError as error:
            raise OSError(reason) from error
    except OSError:
        logging.getLogger("refresher.tests").exception("it failed")


def test_a_container_gets_one_json_object_a_line() -> None:
    lines = logged("first\nsecond\u2028third", io.StringIO()).splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["message"] == "first\nsecond\u2028third"


def test_a_json_line_has_the_time_the_level_and_the_fields_that_were_given() -> None:
    line = json.loads(
        logged(
            "published",
            io.StringIO(),
            asset="web-tls",
            generation=7,
            duration=timedelta(milliseconds=1500),
            next_refresh_at=datetime(2026, 11, 23, 1, 10, tzinfo=timezone(timedelta(hours=1))),
            error_class=None,
            unknown="left out",
        )
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "message": "published",
        "asset": "web-tls",
        "generation": 7,
        "duration": 1.5,
        "next_refresh_at": "2026-11-23T00:10:00.000Z",
    }


def test_every_stable_key_can_be_given() -> None:
    line = json.loads(logged("all", io.StringIO(), **{name: f"the {name}" for name in FIELDS}))
    assert {name: line[name] for name in FIELDS} == {name: f"the {name}" for name in FIELDS}


def test_the_time_is_the_present() -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    assert datetime.fromisoformat(json.loads(logged("now", io.StringIO()))["time"]) >= before


@pytest.mark.parametrize("make_stream", [io.StringIO, Terminal])
def test_an_exception_is_its_places_on_the_same_line_and_never_its_text(make_stream: Callable[[], io.StringIO]) -> None:
    stream = make_stream()
    configure(stream)
    log_failure("hunter2\n2026-11-27T03:33:29.084Z INFO    forged")
    (line,) = stream.getvalue().splitlines()
    assert re.search(r'exception"?[=:] ?"OSError at \S+test_logs.py:\d+ in log_failure from RuntimeError at ', line)
    assert "hunter2" not in line


def test_a_terminal_gets_readable_text() -> None:
    line = logged("published", Terminal(), asset="web-tls", generation=7)
    assert re.fullmatch(r"\S+Z INFO {4}published  asset=web-tls  generation=7\n", line)


def test_control_characters_cannot_steer_the_terminal() -> None:
    line = logged("a\x1b[2Jb\rc\nd\u202ee", Terminal(), asset="x\x07")
    assert r"a\x1b[2Jb\rc\nd\u202ee" in line
    assert r"asset=x\x07" in line


def test_a_value_that_a_server_chose_cannot_pass_for_another_field() -> None:
    line = logged("failed", Terminal(), revision='a  result=published "', asset="web")
    assert line.endswith(r'  asset=web  revision="a  result=published \""' + "\n")


def test_a_warning_that_repeats_is_thinned_and_counted_whoever_gives_it() -> None:
    stream = io.StringIO()
    configure(stream)
    for number in range(20):
        logging.getLogger("urllib3.connectionpool").warning("pool is full: connection %d", 1_000_000_000 + number)
    left_out = [json.loads(line).get("left_out") for line in stream.getvalue().splitlines()]
    assert left_out == [None, None, 1, 3, 7]


def test_a_warning_of_one_asset_does_not_hide_the_same_of_another() -> None:
    stream = io.StringIO()
    configure(stream)
    for asset in ("web-tls-1", "web-tls-2", "web-tls-1", "web-tls-3", "web-tls-1"):
        logging.getLogger("refresher").warning("%s: the volume can't be used", asset, extra={"asset": asset})
    assert [json.loads(line)["asset"][-1] for line in stream.getvalue().splitlines()] == ["1", "2", "1", "3"]


def test_what_is_told_and_outcomes_are_never_thinned_here() -> None:
    stream = io.StringIO()
    configure(stream)
    for _ in range(5):
        logging.getLogger("refresher").info("told")
        logging.getLogger("refresher").warning("failed", extra={"result": "failed"})
    assert len(stream.getvalue().splitlines()) == 10


def test_warnings_of_python_become_lines_too() -> None:
    stream = io.StringIO()
    configure(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)  # pytest's own way of showing them, which catch_warnings has put back
        logging.captureWarnings(capture=True)
        warnings.warn("an old way", stacklevel=1)
    (line,) = stream.getvalue().splitlines()
    assert "UserWarning: an old way" in json.loads(line)["message"]


def test_what_nobody_caught_becomes_a_line_without_its_text() -> None:
    code = (
        "import sys, threading; from refresher.logs import *; configure(sys.stderr); catch_all()\n"
        "thread = threading.Thread(target=lambda: int('hunter2')); thread.start(); thread.join()\n"
        "class Broken:\n def __del__(self): int('hunter2')\n"
        "Broken()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["exception"].split(" at ")[0] for line in lines] == ["ValueError", "ValueError"]
    assert "hunter2" not in ended.stderr


def test_what_ends_the_program_becomes_a_line_without_its_text() -> None:
    code = "import sys; from refresher.logs import *; configure(sys.stderr); catch_all(); int('hunter2')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert json.loads(ended.stderr)["exception"].startswith("ValueError at ")
    assert "hunter2" not in ended.stderr


def test_the_form_can_be_chosen() -> None:
    stream = Terminal()
    configure(stream, json=True)
    logging.getLogger("refresher.tests").info("chosen")
    assert json.loads(stream.getvalue())["message"] == "chosen"


@pytest.mark.parametrize("name", ["apscheduler", "botocore", "hvac", "urllib3", "uvicorn"])
def test_libraries_are_heard_only_when_they_warn(name: str) -> None:
    stream = io.StringIO()
    configure(stream)
    logging.getLogger(f"{name}.inside").info("each step")
    logging.getLogger(f"{name}.inside").warning("a warning")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["a warning"]


def test_configuring_again_writes_to_the_new_stream_only() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure(first)
    configure(second)
    logging.getLogger("refresher.tests").info("once")
    assert not first.getvalue()
    assert second.getvalue().count("once") == 1
