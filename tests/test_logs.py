import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from refresher.logs import FIELDS, THIRD_PARTY, configure


@pytest.fixture(autouse=True)
def _root_logger_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in THIRD_PARTY:
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
        fail(reason)
    except RuntimeError:
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


def test_an_exception_is_one_string_on_the_same_line() -> None:
    stream = io.StringIO()
    configure(stream)
    log_failure("broken")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["exception"].endswith("RuntimeError: broken")
    assert json.loads(line)["level"] == "error"


def test_a_terminal_gets_readable_text() -> None:
    line = logged("published", Terminal(), asset="web-tls", generation=7)
    assert re.fullmatch(r"\S+Z INFO {4}published  asset=web-tls  generation=7\n", line)


def test_control_characters_cannot_steer_the_terminal() -> None:
    line = logged("a\x1b[2Jb\rc\nd\u202ee", Terminal(), asset="x\x07")
    assert r"a\x1b[2Jb\rc\nd\u202ee" in line
    assert r"asset=x\x07" in line


def test_a_traceback_on_a_terminal_keeps_its_lines() -> None:
    stream = Terminal()
    configure(stream)
    log_failure("\x1b[31mred")
    assert len(stream.getvalue().splitlines()) > 3
    assert "\x1b" not in stream.getvalue()


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
