"""The option types that the configuration and the plugins share. Public.

Each is an ordinary Python type with a note for pydantic on how to read and write it, so that this module, and whoever
uses it, loads no pydantic. Durations are written `30s`, `5m`, `12h`, `7d`; sizes `64MiB`, `10GB`; shares `10%`; modes
`"0640"`. Secret values are given by reference, `{file: /path}` or `{env: NAME}`, and read at each use, because
projected tokens rotate.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar

from refresher.errors import PermanentError

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_MICROSECONDS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]i?)?B?")
_BYTES = {None: 1} | {f"{unit}i": 1024**power for power, unit in enumerate("KMGT", 1)}
_BYTES |= {unit: 1000**power for power, unit in enumerate("KMGT", 1)}
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")
_MODE = re.compile(r"0?[0-7]{3}")
_LARGEST = 2**63 - 1
_LONGEST = 36_500 * _MICROSECONDS["d"]
SECRET_LIMIT = 1024 * 1024
"""Bytes; a secret that a reference names is a token or a password, and a larger file is a mistake."""


def parse_duration(value: object) -> timedelta:
    """`30s`, `5m`, `1h30m`, `7d`, or 0. Raises ValueError."""
    if isinstance(value, timedelta):
        return value
    if value == "0" or (isinstance(value, int | float) and not isinstance(value, bool) and value == 0):
        return timedelta(0)
    parts = _DURATION.findall(value) if isinstance(value, str) else []
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError("must be a duration such as 30s, 5m, 12h or 7d")
    microseconds = sum(Decimal(number) * _MICROSECONDS[unit] for number, unit in parts)
    if microseconds > _LONGEST:
        raise ValueError("must be a duration of at most 36500d")
    return timedelta(microseconds=int(microseconds))


def write_duration(duration: timedelta) -> str:
    """The way that a person writes it: `90s`, `5m`, `24h`, `7d`."""
    microseconds = duration // timedelta(microseconds=1)
    for unit, least in (("d", 2), ("h", 1), ("m", 2), ("s", 1)):
        count, rest = divmod(microseconds, _MICROSECONDS[unit])
        if not rest and count >= least:
            return f"{count}{unit}"
    return f"{Decimal(microseconds) / 1000:f}ms" if microseconds else "0s"


def parse_size(value: object) -> int:
    """`64MiB`, `10GB`, `512` (bytes). Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a size such as 64MiB or 10GB")
    size = Decimal(match[1]) * _BYTES[match[2]]
    if size > _LARGEST:
        raise ValueError("must be a size below 8EiB")
    return int(size)


def write_size(size: int) -> str:
    """The way that a person writes it: `64MiB`, `10GB`, `1234B`."""
    exact = [(count, unit) for unit, count in _BYTES.items() if unit and size and size % count == 0]
    count, unit = max(exact, default=(1, ""))
    return f"{size // count}{unit}B"


def parse_share(value: object) -> float:
    """`10%` as 0.1; between 0% and 100%. Raises ValueError."""
    if isinstance(value, float) and 0 <= value <= 1:
        return value
    match = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if match is None or float(match[1]) > 100:
        raise ValueError("must be a share from 0% to 100%")
    return float(match[1]) / 100


def write_share(share: float) -> str:
    """The way that a person writes it: `10%`."""
    whole, _, fraction = f"{Decimal(repr(share)) * 100:f}".partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}%" if fraction else f"{whole}%"


def parse_share_or_duration(value: object) -> float | timedelta:
    """`67%` or `8h`. Raises ValueError."""
    if isinstance(value, float) or (isinstance(value, str) and value.endswith("%")):
        return parse_share(value)
    try:
        return parse_duration(value)
    except ValueError:
        raise ValueError("must be a share such as 67%, or a duration such as 8h") from None


def write_share_or_duration(value: float | timedelta) -> str:
    """The way that a person writes it: `67%` or `8h`."""
    return write_duration(value) if isinstance(value, timedelta) else write_share(value)


def parse_mode(value: object) -> int:
    """`"0640"`, an octal mode without set-uid, set-gid or sticky bits. Raises ValueError."""
    if isinstance(value, str) and _MODE.fullmatch(value):
        return int(value, 8)
    raise ValueError('must be an octal file mode in quotes, such as "0640"')


def write_mode(mode: int) -> str:
    """The way that a person writes it: `0640`."""
    return f"{mode:04o}"


class ReadBy:
    """Tells pydantic which functions read and write a value, and a JSON Schema how it is written."""

    def __init__(self, parse: Callable[[object], Any], write: Callable[[Any], str], written: dict[str, Any]) -> None:
        self.parse, self.write, self.written = parse, write, written

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Any:
        from pydantic_core import core_schema  # whoever asks has loaded it

        written = core_schema.plain_serializer_function_ser_schema(self.write, when_used="json-unless-none")
        return core_schema.no_info_plain_validator_function(self.parse, serialization=written)

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        return dict(self.written)


_WRITTEN_DURATION = rf"({_DURATION.pattern})+"
Duration = Annotated[
    timedelta,
    ReadBy(
        parse_duration,
        write_duration,
        {"type": ["string", "integer"], "pattern": rf"^(0|{_WRITTEN_DURATION})$", "maximum": 0, "minimum": 0},
    ),
]
Size = Annotated[
    int,
    ReadBy(parse_size, write_size, {"type": ["string", "integer"], "pattern": rf"^{_SIZE.pattern}$", "minimum": 0}),
]
Share = Annotated[float, ReadBy(parse_share, write_share, {"type": "string", "pattern": rf"^{_SHARE.pattern}$"})]
ShareOrDuration = Annotated[
    float | timedelta,
    ReadBy(
        parse_share_or_duration,
        write_share_or_duration,
        {"type": "string", "pattern": rf"^({_SHARE.pattern}|{_WRITTEN_DURATION})$"},
    ),
]
Mode = Annotated[int, ReadBy(parse_mode, write_mode, {"type": "string", "pattern": rf"^{_MODE.pattern}$"})]


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A reference to a secret value: a file or an environment variable, exactly one of them."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    file: Path | None = None
    env: str | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.env is None):
            raise ValueError("must be exactly one of {file: /path} and {env: NAME}")

    def read(self) -> str:
        """The value now, without the line end that editors add. Raises PermanentError if it's missing or empty."""
        value = self._from_file(self.file) if self.file else os.environ.get(self.env or "", "")
        if not value.strip():
            raise PermanentError(f"the secret in {self} is missing or empty")
        return value.rstrip("\r\n")

    @staticmethod
    def _from_file(path: Path) -> str:
        try:
            with path.open("rb") as file:
                content = file.read(SECRET_LIMIT + 1)
        except OSError as error:
            raise PermanentError(f"the secret file {path} can't be read: {error.strerror}") from error
        if len(content) > SECRET_LIMIT:
            raise PermanentError(f"the secret file {path} is larger than {SECRET_LIMIT} bytes")
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise PermanentError(f"the secret file {path} is not UTF-8 text") from None

    def __str__(self) -> str:
        return f"file {self.file}" if self.file else f"environment variable {self.env}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A reference to a local file that isn't secret, `{file: /path}`: roots to trust, a public key, a schema."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    file: Path

    def read(self, *, limit: int) -> bytes:
        """The content now, at most `limit` bytes.

        Raises PermanentError if it can't be had: a check that couldn't be made refuses nothing, and is made again
        when the file is there.
        """
        try:
            with self.file.open("rb") as file:
                content = file.read(limit + 1)
        except OSError as error:
            raise PermanentError(f"the file {self.file} can't be read: {error.strerror}") from error
        if len(content) > limit:
            raise PermanentError(f"the file {self.file} is larger than {limit} bytes")
        return content

    def __str__(self) -> str:
        return str(self.file)
