"""Places in the configuration: key paths as people write them, looking there, and laying one mapping over another."""

from collections.abc import Mapping
from typing import Any

Place = tuple[str | int, ...]
"""Keys and list positions from the top: `("assets", "web-tls", "verify", 0)`."""

DEPTH_LIMIT = 100
"""Mappings and lists inside each other; the deepest place of a configuration is about ten."""

MISSING = object()
"""What `at` answers where there is nothing; None is a value."""


def written(place: Place) -> str:
    """`assets.web-tls.verify[0]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def one_line(text: str) -> str:
    """The text with what can't be printed as escapes: a key from a file must not steer the reader's terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


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
