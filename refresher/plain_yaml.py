"""YAML without its traps: what is read is what JSON could say.

PyYAML speaks YAML 1.1, in which `0640` is 416, `1:30` is 90 and the second of two equal keys wins. Those are refused
with their line; dates stay text. Anchors and aliases may be used as long as what they stand for stays small.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from refresher.errors import ConfigError

NODE_LIMIT = 200_000
"""Nodes after all aliases are followed; 4 MiB of plain YAML can't have many more, an alias bomb has billions."""
TEXT = 100
"""Characters that count as one node more: or a long text with many aliases would be small."""
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_PLAIN = {f"{_TAG}{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge", "timestamp")}
_ACCIDENTAL_INT = re.compile(r"[-+]?(0[0-7_]+|[0-9_]+(:[0-9_]+)+)")


def parse(text: str, *, depth: int) -> Any:
    """The document's content, None if it's empty. Raises ConfigError with every problem, each with its line.

    `depth`: mappings and lists that may be inside each other.
    """
    loader = _Loader(text)
    try:
        _refuse_depth(text, depth)
        root = loader.get_single_node()
        if root is None:
            return None
        _measure(root, {})
        problems = list(dict.fromkeys(_problems(root, set())))
        if problems:
            raise ConfigError(*problems)
        return loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"is not valid YAML: {_line(error.problem_mark)}{error.problem}") from None
    except yaml.YAMLError:
        raise ConfigError("is not valid YAML: it holds characters that YAML doesn't allow") from None
    except (ValueError, LookupError):  # PyYAML lets Python's through: of 5,000 digits, `0x_`, `!!bool text`, `!!int ""`
        pass
    finally:
        loader.dispose()
    # Outside of that error, which quotes the value, and it may be a secret.
    raise ConfigError("holds a number that can't be read, or a value that isn't what its tag says")


def _refuse_depth(text: str, limit: int) -> None:
    """First of all, because libyaml's composer recurses on C's stack, unchecked, and deep nesting kills the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > limit:
            raise ConfigError(f"{_line(event.start_mark)}the file is nested too deeply")


def _measure(node: yaml.Node, measured: dict[int, int]) -> int:
    """How many nodes this one stands for once aliases are followed; refuses those without end, and those too many."""
    if id(node) not in measured:
        measured[id(node)] = NODE_LIMIT  # an alias to something that it's inside of leads back here, and is too large
        text = len(node.value) // TEXT if isinstance(node, yaml.ScalarNode) else 0
        measured[id(node)] = 1 + text + sum(_measure(child, measured) for child in _children(node))
    if measured[id(node)] > NODE_LIMIT:
        raise ConfigError(
            f"{_line(node.start_mark)}its aliases stand for more than {NODE_LIMIT} values, or for as much text"
        )
    return measured[id(node)]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _problems(node: yaml.Node, seen: set[int]) -> Iterator[str]:
    """What is wrong with this node and those below; also makes dates text."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if node.tag not in _PLAIN:
        yield f"{_line(node.start_mark)}the tag {node.tag.removeprefix(_TAG)!r} isn't read here; write the plain value"
    if node.tag == f"{_TAG}timestamp":
        node.tag = f"{_TAG}str"
    if node.tag == f"{_TAG}int" and _ACCIDENTAL_INT.fullmatch(node.value):
        yield f'{_line(node.start_mark)}YAML reads {node.value} as another number; write it in quotes: "{node.value}"'
    if isinstance(node, yaml.MappingNode):
        yield from _key_problems(node)
    for child in _children(node):
        yield from _problems(child, seen)


def _key_problems(node: yaml.MappingNode) -> Iterator[str]:
    keys = set()
    for key, _ in node.value:
        if key.tag == f"{_TAG}merge":
            continue
        if key.tag != f"{_TAG}str":
            yield f"{_line(key.start_mark)}a key must be text; write it in quotes"
        elif key.value in keys:
            yield f"{_line(key.start_mark)}the key {key.value!r} is given twice in one mapping"
        else:
            keys.add(key.value)


def _line(mark: Any) -> str:
    return f"line {mark.line + 1}: " if mark else ""
