"""What is written for a value; nonsense isn't: Python's words for what is nothing, a function, or not made yet."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from refresher.render.unfit import Unfit
from refresher.render.view import Document

_ESCAPED_BY_GO = re.compile(r"[<>&\u2028\u2029]")


def written(value: object) -> str:
    """The value's text. Raises Unfit if it has none, and what an undefined value raises, also for one in a list."""
    return str(writable(value))


def writable(value: object) -> object:
    """The value, or its JSON: Python's own `True` and `['a']` are read by nobody else. Raises as `written`."""
    refuse_nonsense(value)
    return to_json(value) if isinstance(value, bool | list | tuple | dict | Document) else value


def to_json(value: object, indent: int | None = None) -> str:
    """In the order of the keys, and without HTML's escapes; on one line unless `indent` is given."""
    content = plain(value)
    try:
        return json.dumps(content, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        pass
    raise Unfit("JSON has no number that is infinite, or none")


def go_json(value: object, indent: int | None = None) -> str:
    """As Go's encoding/json, and so consul-template, writes it: keys sorted, HTML's characters escaped."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(plain(value), ensure_ascii=False, indent=indent, sort_keys=True, separators=separators)
    return _ESCAPED_BY_GO.sub(lambda char: f"\\u{ord(char[0]):04x}", text)


def plain(value: object) -> Any:
    """What JSON can say."""
    if isinstance(value, Mapping):
        return {written(key): plain(each) for key, each in value.items()}
    # Anything with items, also what `map` makes and `items()` answers.
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else written(value)


def refuse_nonsense(value: object) -> None:
    """Raise for a value that has no text of its own. Its repr may hold an address, another one in each process."""
    if value is None:
        raise Unfit('it is null: default("…", true) says what to write then, and tojson writes null')
    if isinstance(value, bytes):
        raise Unfit("it is bytes, and only b64encode and sha256 take those")
    _refuse(value)


def refuse_null_within(value: object) -> None:
    """Raise as `refuse_nonsense`, and for null inside of it as well: what Python makes a text of says `None` there."""
    match value:
        case list() | tuple():
            for each in value:
                refuse_null_within(each)
        case dict():
            for pair in value.items():
                refuse_null_within(pair)
        case Document():
            str(value)  # raises: Python would write its repr
        case _:
            refuse_nonsense(value)


def _refuse(value: object) -> None:
    match value:
        case None | str() | int() | float() | Document():
            return
        case list() | tuple():
            for each in value:
                _refuse(each)
        case dict():
            for key, each in value.items():
                _refuse(key)
                _refuse(each)
        case _:
            _refuse_object(value)


def _refuse_object(value: object) -> None:
    str(value)  # raises for what is undefined, with its name, where a list would show "Undefined"
    if type(value).__str__ is not object.__str__:
        return
    if callable(value):
        raise Unfit("it is a function, which has to be called")
    raise Unfit(f"it is a {type(value).__name__}, which has no text: join or tojson says how to write it")
