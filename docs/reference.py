"""Writes `reference.md`, the page of all options: from the JSON Schema what a key takes, from `reference.toml` why.

python docs/reference.py
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from refresher.options import Duration, Mode, Share, ShareOrDuration, Size
from refresher.plugins import Kind, installed, plugin
from refresher.settings.schema import schema

HERE = Path(__file__).parent
HEAD = """\
# All options

Every key of the configuration and every option of the built-in plugins. Written by `docs/reference.py`; what belongs
together, and why, is in [configuration](configuration.md). A default of - means: not given.

Durations are written `30s`, `5m`, `1h30m`, `7d`; sizes `64MiB`, `10GB`; shares `10%`; modes `"0640"`, in quotes.
Secrets are given by reference, `{file: /path}` or `{env: NAME}`, and read again on every use.
"""
SPECIAL = {
    "Secret": "secret",
    "Credential": "secret",
    "LocalFile": "`{file: /path}`",
    "Source": "mapping or URL",
    "Verifier": "verifier",
    "Notifier": "notifier",
}
OF_ALL = {"initial", "source"}
"""What all notifiers, or all verifiers, have beside their own options: a table of its own."""


def reference() -> str:
    """The page. Raises ValueError if the schema and the meanings don't have the same keys."""
    whole = schema()
    tables = tomllib.loads((HERE / "reference.toml").read_text())["tables"]
    return HEAD + "".join(_table(table, whole) for table in tables)


def _table(table: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    section = whole["$defs"][table["of"]] if table["of"] else whole
    properties = {name: value for name, value in section["properties"].items() if _belongs(name, table)}
    if properties.keys() != table["keys"].keys():
        raise ValueError(f"{table['title']}: meaning and schema differ in {properties.keys() ^ table['keys'].keys()}")
    needed = {*section.get("required", ()), *_needed_by_providers().get(table["of"], ())}
    rows = [
        f"| `{name}` | {_taken(properties[name], whole)} | {_default(properties[name], needed=name in needed)} "
        f"| {meaning} |"
        for name, meaning in table["keys"].items()
    ]
    head = ["| key | takes | default | meaning |", "| --- | --- | --- | --- |"]
    about = [table["about"], ""] if "about" in table else []
    return "\n".join(["", f"## {table['title']}", "", *about, *head, *rows, ""])


def _belongs(name: str, table: Mapping[str, Any]) -> bool:
    return name in table["only"] if "only" in table else name not in OF_ALL or table["of"] == "AssetSettings"


def _needed_by_providers() -> dict[str, list[str]]:
    """What the schema leaves out, because a source's option may stand in `providers`."""
    models = [plugin(Kind.PROVIDER, name).Options for name in installed(Kind.PROVIDER)]
    needed = {model.__name__: model.model_json_schema().get("required", []) for model in models}
    return needed | {"providers__http_options__HttpOptions": needed["HttpOptions"]}


def _default(taken: Mapping[str, Any], *, needed: bool) -> str:
    if needed:
        return "**needed**"
    default = taken.get("default")
    if default is None or default in ([], {}):
        return "-"
    return f"`{default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)}`"


def _taken(taken: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    """What may stand there, in a few words."""
    return " or ".join(dict.fromkeys(_words(taken, whole)))


def _words(taken: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    if "anyOf" in taken:
        for one in taken["anyOf"]:
            yield from _words(one, whole)
    elif "$ref" in taken:
        yield from _referred(taken["$ref"].rpartition("/")[2], whole)
    elif "enum" in taken:
        yield ", ".join(f"`{value}`" for value in taken["enum"])
    elif taken.get("pattern") in PATTERNS:
        yield PATTERNS[taken["pattern"]]
    elif taken.get("const", True) is not False:
        yield from _plain(taken, whole)


def _referred(name: str, whole: Mapping[str, Any]) -> Iterator[str]:
    found = whole["$defs"][name]
    if name in SPECIAL:
        yield SPECIAL[name]
    elif "enum" in found:
        yield from _words(found, whole)
    else:
        yield "mapping"


def _plain(taken: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    kinds = taken["type"] if isinstance(taken["type"], list) else [taken["type"]]
    for kind in kinds:
        if kind == "array":
            yield f"list of {_taken(taken['items'], whole)}"
        elif kind == "object":
            values = taken.get("additionalProperties")
            known = values if isinstance(values, dict) and ("anyOf" in values or values.get("type") == "string") else {}
            yield f"mapping to {_taken(known, whole)}" if known else "mapping"
        elif kind != "null":
            yield {"string": taken.get("format", "text"), "integer": "number", "boolean": "`true`, `false`"}[kind]


def _pattern(written: Any) -> str:
    return str(TypeAdapter(written).json_schema()["pattern"])


PATTERNS = {
    _pattern(Duration): "duration",
    _pattern(Size): "size",
    _pattern(Share): "share",
    _pattern(ShareOrDuration): "share or duration",
    _pattern(Mode): "mode",
}

if __name__ == "__main__":
    (HERE / "reference.md").write_text(reference())
