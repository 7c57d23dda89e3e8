"""What filters and formats refuse: null, because Python writes `None` for it, and what is undefined."""

from collections.abc import Iterator, Mapping
from typing import Any

from refresher.render.filters import FILTERS
from refresher.render.writable import refuse_nonsense, refuse_null_within

_ANYTHING = frozenset({"d", "default", "json", "toJSON", "toJSONPretty", "toYAML", "tojson", "toyaml"})
"""Filters that say what is written for null."""
_PARTS = frozenset(
    (
        *("attr", "batch", "count", "dictsort", "first", "float", "groupby", "int", "items", "last", "length", "list"),
        *("map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "slice", "sort", "sum"),
        "unique",
    )
)
"""Filters that make no text: null may be among what they take, and is refused where what they leave is written."""
_LOOKING = frozenset({"format", "urlencode"})
"""Filters that refuse by themselves what gets into their text."""
_AS_JSON = frozenset({*FILTERS, "join", "string"})
"""Filters that write lists and mappings as JSON, in which null is a word."""


def refuse_inputs(name: str, value: object, *others: object) -> None:
    """Raise Unfit for null, and what is undefined: of a filter that isn't known here, also for null anywhere inside."""
    if name in _ANYTHING:
        return
    if name in _PARTS | _LOOKING | _AS_JSON:
        _refuse_itself(value)
    else:
        refuse_null_within(value)
    if name not in _PARTS | _LOOKING:
        refuse_null_within(others)


def _refuse_itself(value: object) -> None:
    if value is None:
        refuse_nonsense(value)
    # Raises for what is undefined: `items` would take it for a mapping without any.
    bool(value)


def percent(text: str, operand: object) -> str:
    """`text % operand`. Raises for what is null or undefined, if that gets into the text."""
    if isinstance(operand, Mapping):
        return text % _Named(operand)
    refuse_null_within(operand)
    return text % operand


class _Named(Mapping[str, Any]):
    """Values for `%(name)s`, of which each is looked at when it is asked for: of a document, others may be null."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        value = self._values[name]
        refuse_null_within(value)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        """As Python writes the mapping: for `%s` without a name. Raises as an item does."""
        refuse_null_within(self._values)
        return str(self._values)
