"""Logs: one JSON object a line for machines, readable text for people on a terminal.

Every record carries the keys `time` (RFC 3339, UTC), `level` and `message`; those of `FIELDS` that a caller passes in
`logging`'s `extra` follow, and `exception` holds a traceback as one string.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

FIELDS = (
    "asset",
    "step",
    "result",
    "revision",
    "generation",
    "duration",
    "fetched_bytes",
    "error_class",
    "next_refresh_at",
)
"""The names that a caller may pass in `extra`; the rest of a record's attributes are logging's own."""

THIRD_PARTY = ("apscheduler", "asyncio", "boto3", "botocore", "hvac", "s3transfer", "urllib3", "uvicorn", "watchdog")
"""Libraries that log each of their steps, requests' paths included; only what they warn about is passed on."""


BOTOCORES_LOGINS = "botocore.credentials"
"""Logs a traceback whenever a login fails, though it raises the error, too, and that is reported."""


def configure(stream: TextIO, json: bool | None = None, *, level: int = logging.INFO) -> None:  # noqa: FBT001
    """Send the log to `stream`; `json` None: JSON unless the stream is a terminal."""
    machine = not stream.isatty() if json is None else json
    target = logging.StreamHandler(stream)
    target.setFormatter(JsonFormatter() if machine else TextFormatter())
    logging.basicConfig(level=level, handlers=[target], force=True)
    for name in THIRD_PARTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger(BOTOCORES_LOGINS).setLevel(logging.CRITICAL)


class JsonFormatter(logging.Formatter):
    """One line a record, whatever the message holds: JSON escapes line ends and control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a JSON object."""
        line = {"time": _time(record), "level": record.levelname.lower(), "message": record.getMessage()}
        line |= _fields(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


class TextFormatter(logging.Formatter):
    """Time, level, message and `name=value` for each field; a traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text in which no control character reaches the terminal."""
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        line = f"{_time(record)} {record.levelname:<7} {record.getMessage()}{fields}"
        traceback = self.formatException(record.exc_info).splitlines() if record.exc_info else ()
        return "\n".join(map(_printable, (line, *traceback)))


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


def _printable(text: str) -> str:
    """Control characters as escapes: what a source or an app says must not steer the terminal of who reads it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
