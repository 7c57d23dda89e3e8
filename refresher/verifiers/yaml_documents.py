"""YAML, read so that no input does harm: no code, no bombs of aliases, no depth that ends the process, no key twice."""

from collections.abc import Iterator
from typing import Any

import yaml

from refresher.errors import RejectedError

DEPTH_LIMIT = 100
"""Levels. The C library's composer recurses without a limit of its own, and a deep document ends the whole process."""

ALIASED_LIMIT = 100_000
"""Values that exist only because aliases repeat them: nine lines of aliases to aliases stand for a thousand million."""

_OPENING = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
_CLOSING = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.CSafeLoader):
    """Only plain values; dates stay text, as in JSON and in YAML 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML reads the class's attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }


def documents(text: str, name: str) -> list[Any]:
    """All documents of the stream. Raises RejectedError with the place, and never with anything that stands there."""
    try:
        _refuse_depth(text, name)
        return list(_constructed(text, name))
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
    except yaml.YAMLError:
        place = "a character that may not be in it"
    except (ValueError, LookupError, AttributeError):  # PyYAML lets Python's through: `!!bool text`, `!!int ""`
        place = "a number or another value that can't be read"
    # Raised out here, without a cause: what the parser says quotes the document.
    raise RejectedError(f"{name} is not valid YAML: {place}")


def _refuse_depth(text: str, name: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, _OPENING)
        depth -= isinstance(event, _CLOSING)
        if depth > DEPTH_LIMIT:
            raise RejectedError(f"{name} is nested deeper than {DEPTH_LIMIT} levels: {_place(event.start_mark)}")


def _constructed(text: str, name: str) -> Iterator[Any]:
    loader = _Loader(text)
    try:
        while loader.check_node() and (node := loader.get_node()):
            _Survey(name).of(node)
            yield loader.construct_document(node)
    finally:
        loader.dispose()


class _Survey:
    """One walk over a document before it's constructed: looks for keys twice, counts what aliases repeat."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sizes: dict[int, int] = {}
        self._open: set[int] = set()
        self._aliased = 0

    def of(self, node: yaml.Node) -> int:
        """How many values the node stands for, with all aliases written out."""
        seen = self._sizes.get(id(node))
        if seen is None:
            return self._first(node)
        self._aliased += seen
        if self._aliased > ALIASED_LIMIT:
            raise RejectedError(f"{self._name}: its aliases stand for more than {ALIASED_LIMIT} values")
        return seen

    def _first(self, node: yaml.Node) -> int:
        if id(node) in self._open:
            raise RejectedError(
                f"{self._name}: an alias stands inside of what it stands for: {_place(node.start_mark)}"
            )
        self._open.add(id(node))
        size = 1 + sum(self.of(child) for child in self._children(node))
        self._open.discard(id(node))
        self._sizes[id(node)] = size
        return size

    def _children(self, node: yaml.Node) -> Iterator[yaml.Node]:
        if isinstance(node, yaml.SequenceNode):
            yield from node.value
        elif isinstance(node, yaml.MappingNode):
            self._refuse_twice(node)
            for key, value in node.value:
                yield from (key, value)

    def _refuse_twice(self, node: yaml.MappingNode) -> None:
        keys: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in keys:
                raise RejectedError(f"{self._name} has a key twice: {_place(key.start_mark)}")
            keys.add((key.tag, key.value))


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "an unknown place"
