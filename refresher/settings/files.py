"""Reading the configuration file: YAML, TOML or JSON by its ending, into plain mappings, lists and scalars.

What comes out is what every format can say; what only YAML can say, or says by accident, is refused, with its line.
"""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refresher.errors import ConfigError
from refresher.settings.paths import DEPTH_LIMIT

FILE_LIMIT = 4 * 1024 * 1024
"""Bytes; a configuration larger than this is some other file."""


def read_file(path: Path) -> dict[str, Any]:
    """The file's top mapping, its keys all text. Raises ConfigError with every problem found in the file."""
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise ConfigError(f"{path}: the file's name must end in {', '.join(_PARSERS)}")
    try:
        content = parse(_text(path))
        _refuse_depth(content, DEPTH_LIMIT)
    except ConfigError as error:
        raise ConfigError(*(f"{path}: {problem}" for problem in error.problems)) from None
    except RecursionError:
        raise ConfigError(f"{path}: the file is nested too deeply") from None
    except ValueError:  # Python's, of an integer of more than 4,300 digits
        raise ConfigError(f"{path}: holds a number that can't be read") from None
    if content is None:
        raise ConfigError(f"{path}: the file is empty; it needs at least `assets`")
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: the file must be a mapping with `assets`")
    return content


def _refuse_depth(content: object, left: int) -> None:
    if left < 0:
        raise RecursionError
    below = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    for value in below:
        _refuse_depth(value, left - 1)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}") from error
    if len(content) > FILE_LIMIT:
        raise ConfigError(f"is larger than {FILE_LIMIT} bytes")
    if b"\0" in content:
        raise ConfigError("holds NUL bytes, so it's no text file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text") from None


def _yaml(text: str) -> Any:
    from refresher.plain_yaml import parse  # the parser is loaded for YAML only

    return parse(text, depth=DEPTH_LIMIT)


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(text) if text.strip() else None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not valid TOML: {error}") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates) if text.strip() else None
    except json.JSONDecodeError as error:
        raise ConfigError(f"is not valid JSON: line {error.lineno}: {error.msg}") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON takes the last of two equal keys in silence, and the first one's author never learns why it does nothing."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise ConfigError(f"the key {twice[0]!r} is given twice in one mapping")
    return content


_PARSERS: dict[str, Callable[[str], Any]] = {".yaml": _yaml, ".yml": _yaml, ".toml": _toml, ".json": _json}
