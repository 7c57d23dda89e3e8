"""Logs: one JSON object a line for machines, readable text for people on a terminal.

Every record carries the keys `time` (RFC 3339, UTC), `level` and `message`; those of `FIELDS` that a caller passes in
`logging`'s `extra` follow, and `exception` says the kind and the places of an unexpected error, never its text.
docs/monitoring.md has them all with their types.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

from refresher.bug import places_of
from refresher.outlet import Outlet
from refresher.thinning import Thinning, gist

FIELDS = (
    "asset",
    "step",
    "result",
    "revision",
    "generation",
    "notifier",
    "endpoint",
    "duration",
    "fetched_bytes",
    "error_class",
    "next_refresh_at",
    "failures",
    "failing_for",
    "left_out",
)
"""The names that a caller may pass in `extra`; the rest of a record's attributes are logging's own."""

THIRD_PARTY = ("apscheduler", "asyncio", "botocore", "hvac", "urllib3", "uvicorn", "watchdog")
"""Libraries that log each of their steps, requests' paths included; only what they warn about is passed on."""

UNHEARD = ("urllib3.connection", "botocore.credentials")
"""Libraries' warnings that are left out. The first quotes the URL of an answer with a header that isn't one, and its
query may hold a signature; the second has a traceback for each failed login, which is raised, too, and reported.
"""


def configure(stream: TextIO, json: bool | None = None, *, level: int = logging.INFO) -> None:  # noqa: FBT001
    """Send the log to `stream`; `json` None: JSON unless the stream is a terminal."""
    machine = not stream.isatty() if json is None else json
    target = _way_to(stream)
    target.setFormatter(JsonFormatter() if machine else TextFormatter())
    target.addFilter(Repeated())
    logging.basicConfig(level=level, handlers=[target], force=True)
    for name in THIRD_PARTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in UNHEARD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)


def _way_to(stream: TextIO) -> logging.Handler:
    try:
        return Outlet(stream.fileno())
    except (OSError, ValueError):
        return logging.StreamHandler(stream)


def catch_all() -> None:
    """Log what Python itself would print of an error that nobody caught: a traceback, with whatever it quotes."""
    sys.excepthook = lambda kind, error, trace: _uncaught(error)
    threading.excepthook = lambda caught: _uncaught(caught.exc_value)
    sys.unraisablehook = lambda caught: _uncaught(caught.exc_value)


def _uncaught(error: BaseException | None) -> None:
    logging.getLogger("refresher").error("a bug: an error that nobody caught", exc_info=error)


class Repeated(logging.Filter):
    """Thins warnings that say the same again and again, whoever says it: a library, or an asset without its volume.

    What has a `result` isn't one of them: `report` knows when its trouble began, and when it is over.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thinning = Thinning()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write it; `left_out` then says how many weren't."""
        if record.levelno < logging.WARNING or hasattr(record, "result"):
            return True
        kind = (record.name, record.levelno, getattr(record, "asset", None), gist(record.getMessage()))
        left_out = self._thinning.left_out(kind, datetime.fromtimestamp(record.created, UTC))
        record.left_out = left_out or None
        return left_out is not None


class JsonFormatter(logging.Formatter):
    """One line a record, whatever the message holds: JSON escapes line ends and control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a JSON object."""
        line = {"time": _time(record), "level": record.levelname.lower(), "message": record.getMessage()}
        line |= _fields(record)
        if record.exc_info:
            line["exception"] = _places(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True, default=str)


class TextFormatter(logging.Formatter):
    """One line of text: time, level, message and `name=value` for each field."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text in which no control character reaches the terminal."""
        fields = dict(_fields(record))
        if record.exc_info:
            fields["exception"] = _places(record.exc_info[1])
        told = "".join(f"  {name}={_quoted(str(value))}" for name, value in fields.items())
        return _printable(f"{_time(record)} {record.levelname:<7} {record.getMessage()}{told}")


def _places(error: BaseException | None) -> str:
    """Of the error and of what led to it. Not their texts: they may quote a secret."""
    return " from ".join(places_of(each) for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _time(record: logging.LogRecord) -> str:
    return _rfc3339(datetime.fromtimestamp(record.created, UTC))


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    attributes = vars(record)
    return {name: _value(attributes[name]) for name in FIELDS if attributes.get(name) is not None}


def _value(value: object) -> object:
    """Numbers stay numbers; moments become RFC 3339, durations seconds, everything else text."""
    if isinstance(value, datetime):
        return _rfc3339(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value if isinstance(value, bool | int | float) else str(value)


def _quoted(value: str) -> str:
    """A value with spaces in quotes: a revision, which a server chooses, must not pass for another field."""
    return value if re.fullmatch(r"[^\s\"]+", value) else json.dumps(value, ensure_ascii=False)


def _printable(text: str) -> str:
    """Control characters as escapes: what a source or an app says must not steer the terminal of who reads it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
