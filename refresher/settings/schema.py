"""The JSON Schema of the configuration file, for editors: installed plugins included, values as people write them."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema

from refresher.errors import ConfigError
from refresher.plugins import Kind, installed, plugin
from refresher.settings.models import SOURCE_NAME, Settings

_SOURCE_NAME = {"type": "string", "pattern": SOURCE_NAME}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema, draft 2020-12. An installed plugin that can't be imported is let through with any options."""
    options = {kind: _options(kind) for kind in Kind}
    models: list[type[BaseModel]] = [
        Settings,
        *(model for named in options.values() for model in named.values() if model),
    ]
    inputs: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in dict.fromkeys(models)]
    references, definitions = models_json_schema(inputs, schema_generator=_AsWritten)
    made: dict[str, Any] = definitions["$defs"]
    entries = {
        kind: {name: references[model, "validation"] if model else {"type": "object"} for name, model in named.items()}
        for kind, named in options.items()
    }
    _optional_in_providers(made, entries[Kind.PROVIDER])
    _with_plugins(made, entries)
    whole = made.pop(_name(references[Settings, "validation"]))
    whole["properties"]["assets"]["additionalProperties"] = False
    whole["properties"]["providers"] = _mapping(entries[Kind.PROVIDER])
    return {"$schema": DIALECT, "title": "refresher.yaml", **_without_title(whole), "$defs": made}


class _AsWritten(GenerateJsonSchema):
    """Defaults as the configuration says them, `5m` and `10%`, not as Python holds them."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        default = super().get_default_value(schema)
        inner: Mapping[str, Any] = dict(schema["schema"])
        if inner["type"] == "nullable":
            inner = inner["schema"]
        write = inner.get("serialization", {}).get("function")
        # only refresher's own types are read by one plain function; pydantic's writers take other arguments
        return write(default) if default is not None and write and inner["type"] == "function-plain" else default


def _options(kind: Kind) -> dict[str, type[BaseModel] | None]:
    """Each installed plugin's options model; None for one that can't be imported."""
    models: dict[str, type[BaseModel] | None] = {}
    for name in installed(kind):
        try:
            models[name] = plugin(kind, name).Options
        except ConfigError:
            models[name] = None
    return models


def _optional_in_providers(made: dict[str, Any], providers: Mapping[str, Any]) -> None:
    """A source's required option may stand in `providers`, and the other way round."""
    for reference in providers.values():
        if "$ref" in reference:
            made[_name(reference)].pop("required", None)


def _with_plugins(made: dict[str, Any], entries: Mapping[Kind, Mapping[str, Any]]) -> None:
    """Put the plugins' entries where an asset names them, as `$defs` of their own."""
    initial = {"type": "boolean", "default": True}
    told = {name: _with(made, entry, "initial", initial) for name, entry in entries[Kind.NOTIFIER].items()}
    url = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9+.-]*://"}
    made["Source"] = {"anyOf": [_exactly_one(entries[Kind.PROVIDER]), url]}
    judging = {name: _with(made, entry, "source", _SOURCE_NAME) for name, entry in entries[Kind.VERIFIER].items()}
    made["Verifier"] = {"anyOf": [_exactly_one(judging), {"enum": list(judging)}]}
    made["Notifier"] = {"anyOf": [_exactly_one(told), {"enum": list(told)}]}
    properties = made["AssetSettings"]["properties"]
    properties["source"] = {"$ref": "#/$defs/Source"}
    properties["sources"] = {
        "type": "object",
        "patternProperties": {SOURCE_NAME: {"$ref": "#/$defs/Source"}},
        "additionalProperties": False,
        "minProperties": 1,
    }
    made["AssetSettings"]["oneOf"] = [{"required": ["source"]}, {"required": ["sources"]}]
    properties["verify"] = {"type": "array", "items": {"$ref": "#/$defs/Verifier"}, "default": []}
    properties["notify"] = {"type": "array", "items": {"$ref": "#/$defs/Notifier"}, "default": []}
    for key in ("owner", "group"):
        made["Publish"]["properties"][key]["anyOf"].append({"type": "integer"})


def _with(made: Mapping[str, Any], entry: Mapping[str, Any], key: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A plugin's options with a key that all of its kind have; beside its own, as it may forbid others."""
    if "$ref" in entry:
        made[_name(entry)].setdefault("properties", {}).setdefault(key, value)
    return entry


def _mapping(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": dict(entries), "additionalProperties": False}


def _exactly_one(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {**_mapping(entries), "minProperties": 1, "maxProperties": 1}


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _without_title(whole: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key != "title"}
