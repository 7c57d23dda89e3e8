"""What ready forms are made of: fields under their names, and documents."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import PurePosixPath
from typing import Any, NoReturn

from refresher.contract import InlineFile
from refresher.errors import ConfigError
from refresher.render.unfit import Unfit

DEPTH_LIMIT = 100
"""Mappings and lists inside each other."""
_LINE = re.compile(r"\bline (\d+)\b")
JSON, YAML = frozenset({".json"}), frozenset({".yaml", ".yml"})


Keys = tuple[str | int, ...]
"""The keys, and the places in lists, that lead to a value."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands, as an error tells it: a field by its name, the values of a document by their number.

    Keys of documents can be secrets: users' tokens, say. `document` is the document's name, and empty for a field.
    """

    document: str
    says: Mapping[str, Any]
    path: Keys

    def __str__(self) -> str:
        """`DB_PORT`, or `entry 2.1 of app.json`: the first one inside of the second, as they are written there."""
        return f"entry {'.'.join(map(str, self._numbers()))} of {self.document}" if self.document else str(self.path[0])

    @property
    def key(self) -> str:
        """The same of the value's name."""
        return f"the key of {self}" if self.document else repr(self.path[0])

    def _numbers(self) -> Iterator[int]:
        content: Any = self.says
        for key in self.path:
            yield key + 1 if isinstance(key, int) else list(content).index(key) + 1
            content = content[key]


@dataclass(frozen=True, slots=True)
class Fields:
    """Those of one of the files that a form is made of: from which source (empty: from the only one), and what it says.

    A document (`.json`, `.yaml`, `.yml`) says what is in it, every other file its content under its own name.
    `document` is its name then, and empty for other files.
    """

    source: str
    says: Mapping[str, Any]
    document: str = ""

    def place(self, *path: str | int) -> Place:
        """Where that stands."""
        return Place(self.document, self.says, path)

    def has(self, path: Keys) -> bool:
        """Whether anything is there."""
        content: Any = self.says
        for key in path:
            try:
                content = content[key]
            except (LookupError, TypeError):
                return False
        return True


def place_in(files: Sequence[Fields], path: Keys) -> Place:
    """Where the value comes from that all of them together have there: of two values, the later one counts."""
    return next(file.place(*path) for file in reversed(files) if file.has(path))


def fields_of(files: Iterable[InlineFile], sources: Sequence[str]) -> Iterator[Fields]:
    """What each of the files says, in their order. Raises Unfit."""
    for file in files:
        source, _, below = file.name.partition("/") if sources else ("", "", file.name)
        yield Fields(source, said(file), file.name) if is_document(below) else Fields(source, {below: text_of(file)})


def is_document(name: str) -> bool:
    """Whether a file of this name says what is in it."""
    return _ending(name) in JSON | YAML


def said(file: InlineFile) -> Mapping[str, Any]:
    """What the document says. Raises Unfit."""
    read = from_json if _ending(file.name) in JSON else from_yaml
    content = read(text_of(file), file.name)
    if not isinstance(content, dict):
        raise Unfit(f"{file.name} must be a mapping, or its fields have no names")
    return content


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def text_of(file: InlineFile) -> str:
    """The content as text. Raises Unfit."""
    try:
        return file.content.decode()
    except UnicodeDecodeError:
        pass
    raise Unfit(f"{file.name} is not UTF-8 text")


def from_json(text: str, name: str = "it") -> Any:
    """The document's content. Raises Unfit, and says nothing of what it is: Python's own errors carry the document."""
    try:
        return shallow(json.loads(text, object_pairs_hook=_each_once, parse_float=_finite, parse_constant=_no_number))
    except json.JSONDecodeError as error:
        line = error.lineno
    except (ValueError, RecursionError):
        raise Unfit(f"{name} is JSON that can't be read: too deep, a key twice, or a number that is none") from None
    raise Unfit(f"{name} is not JSON: line {line}")


def from_yaml(text: str, name: str = "it") -> Any:
    """The document's content, as JSON could say it. Raises Unfit, as `from_json`."""
    from refresher.plain_yaml import parse  # the parser is loaded for YAML only

    try:
        return _without_infinity(parse(text, depth=DEPTH_LIMIT))
    except ConfigError as error:
        found = _LINE.search(str(error))
    except ValueError:
        found = None
    where = f": line {found[1]}" if found else ""
    raise Unfit(f"{name} is not YAML, or YAML that is read in different ways{where}")


def merged(below: object, above: object) -> Any:
    """`above`, with what it doesn't say taken from `below`, mapping by mapping."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}


def shallow(content: Any, left: int = DEPTH_LIMIT) -> Any:
    """The content itself. RecursionError for what is nested too deeply."""
    if left < 0:
        raise RecursionError
    for value in _inside(content):
        shallow(value, left - 1)
    return content


def _inside(content: Any) -> Iterable[Any]:
    """The values of a mapping, the items of a list."""
    return content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError
    return content


def _finite(written: str) -> float:
    """ValueError for what is too large: Python takes it for infinite, and would write `Infinity`, which no JSON is."""
    number = float(written)
    return number if isfinite(number) else _no_number(written)


def _without_infinity(content: Any) -> Any:
    """The content itself. ValueError for `.inf` and `.nan`."""
    for value in _inside(content):
        _without_infinity(value)
    return _no_number("") if isinstance(content, float) and not isfinite(content) else content


def _no_number(_: str) -> NoReturn:
    raise ValueError
