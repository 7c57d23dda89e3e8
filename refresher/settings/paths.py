"""Places in the configuration: key paths as people write them, looking there, and laying one mapping over another."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Place = tuple[str | int, ...]
"""Keys and list positions from the top: `("assets", "web-tls", "verify", 0)`."""

DEPTH_LIMIT = 100
"""Mappings and lists inside each other; the deepest place of a configuration is about ten."""

_UNUSABLE = re.compile(r"[\0\ud800-\udfff]")
MISSING = object()
"""What `at` answers where there is nothing; None is a value."""


def written(place: Place) -> str:
    """`assets.web-tls.verify[0]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def one_line(text: str) -> str:
    """The text with what can't be printed as escapes: a key from a file must not steer the reader's terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def unusable_texts(content: object, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Where a text stands that no path, argument or header can be, which all fail at with Python's own errors.

    Both can be written as escapes, in YAML and JSON, though no file holds them.
    """
    if isinstance(content, str) and _UNUSABLE.search(content):
        yield place, "must not hold a NUL, or half of a character (a surrogate)"
    below = content if isinstance(content, Mapping) else _numbered(content)
    for key, value in below.items():
        yield from unusable_texts(key, place) if isinstance(key, str) else ()
        yield from unusable_texts(value, (*place, key))


def at(content: object, place: Place) -> Any:
    """What stands at a place, MISSING if nothing does."""
    for part in place:
        below = content if isinstance(content, Mapping) else _numbered(content)
        if part not in below:
            return MISSING
        content = below[part]
    return content


def _numbered(content: object) -> Mapping[str | int, Any]:
    return dict(enumerate(content)) if isinstance(content, list) else {}


def laid_over(below: object, above: object, *, whole: frozenset[str] = frozenset()) -> Any:
    """`above`, with what it doesn't say taken from `below`, mapping by mapping; keys in `whole` are never mixed."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    mixed = dict(below)
    for key, value in above.items():
        mixed[key] = value if key in whole else laid_over(below.get(key), value)
    return mixed
