"""What filters and methods of text will make, told from what they are given: before it takes the pod's memory."""

import re
from collections.abc import Callable, Mapping

from refresher.render.meter import LARGEST, LONGEST, WIDE, Meter

DEEPEST = 100
"""Blanks a level of JSON."""
_BRACES = re.compile(r"\{[^{}]*:[^{}]*(?:\d{7}|\{)")
"""The same as `WIDE`, of `'{}'.format(1)`."""


def _padded(_: str, width: int = 0, *__: object) -> int:
    return width


def _tabs(text: str, width: int = 8) -> int:
    return len(text) + text.count("\t") * width


def _indented(text: str, width: int | str = 4, *_: object, **__: object) -> int:
    return len(text) + (text.count("\n") + 1) * (len(width) if isinstance(width, str) else width)


def _replaced(text: str, old: str, new: str, count: int | None = None) -> int:
    found = text.count(old)
    return len(text) + (found if count is None or count < 0 else min(found, count)) * len(new)


def _joined(pieces: object, between: str = "", attribute: object = None) -> int:
    if not isinstance(pieces, list | tuple | str | range) or attribute is not None:
        return 0
    return len(pieces) * len(between) + sum(len(each) for each in pieces if isinstance(each, str))


def _formatted(text: str, *_: object, **__: object) -> int:
    return LARGEST + 1 if WIDE.search(text) else 0


def _braced(text: str, *_: object, **__: object) -> int:
    return LARGEST + 1 if _BRACES.search(text) else 0


def _of_json(_: object, indent: int | None = None) -> int:
    return LARGEST + 1 if indent and indent > DEEPEST else 0


def _items(_: object, count: int, *__: object) -> int:
    return LARGEST + 1 if count > LONGEST else 0


Size = Callable[..., int]
FILTERS: Mapping[str, Size] = {
    "batch": _items,
    "center": _padded,
    "format": _formatted,
    "indent": _indented,
    "join": _joined,
    "json": _of_json,
    "nindent": _indented,
    "replace": _replaced,
    "replaceAll": _replaced,
    "slice": _items,
    "toJSON": _of_json,
    "tojson": _of_json,
}
METHODS: Mapping[str, Size] = {
    "center": _padded,
    "expandtabs": _tabs,
    "format": _braced,
    "format_map": _braced,
    "join": lambda between, pieces: _joined(pieces, between),
    "ljust": _padded,
    "replace": _replaced,
    "rjust": _padded,
    "zfill": _padded,
}


def foresee(meter: Meter, size: Size | None, *args: object, **kwargs: object) -> None:
    """Raise Unfit for what would be too large. What can't be told is none of ours: it fails when it is called."""
    try:
        told = size(*args, **kwargs) if size else 0
    except (TypeError, AttributeError):
        return
    meter.admit(told)
