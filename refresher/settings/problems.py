"""pydantic's errors as sentences: the key's full path, what is allowed, what was found, and never a secret."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from refresher.settings.paths import MISSING, Place, at

_SECRETIVE = re.compile(
    r"token|passw|passphrase|secret|credential|private|header|cookie|api_?key|access_?key|^(auth|basic|data|env|body|argv)$"
)
_SHOWN = 80
_EXPECTED = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dataclass_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "mapping_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "model_type": "must be a mapping",
    "path_type": "must be a path",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}
REFUSED = "refused"
"""The type of the errors that our own sections raise, each with its whole sentence."""
_NAMES = {
    "assets": "an asset's name must be lower-case letters, digits and dashes, at most 63, and not begin with a dash",
    "sources": "a source's name must be lower-case letters, digits, dashes and underscores, at most 63, "
    "and begin with a letter or a digit",
}
UNKNOWN = "is not a known key"
"""How the sentence for a key that there isn't begins."""
_SPEAKS_FOR_ITSELF = ("too_short", "too_long")
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


def problems(error: ValidationError, model: type[Any], content: object) -> Iterator[tuple[Place, str]]:
    """Each error's place below `content` and its sentence; `model` is what `content` was read as."""
    for details in error.errors(include_url=False):
        if details["type"] == "is_instance_of":
            continue  # a plugin that couldn't be chosen, which was told where it was chosen
        place = _place(details, content)
        yield place, _sentence(details, place, model, content)


def found(value: object, place: Place, content: object) -> str:
    """A value as a message may show it: short, and only its type where it could be a secret."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    if _is_secretive(place, content):
        return {str: "text", bool: "true or false"}.get(type(value), "a number")
    if isinstance(value, str) and "://" in value:
        return f"a URL, {value.partition('://')[0][:_SHOWN]}://…"  # whose user part or parameters may be secret
    if isinstance(value, str) and re.search("[@?]", value):
        return "text"  # a URL with a mistake in it, say, and a password or a signature
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _is_secretive(place: Place, content: object) -> bool:
    if any(isinstance(part, str) and _SECRETIVE.search(part.lower()) for part in place):
        return True
    beside = at(content, place[:-1])
    return isinstance(beside, Mapping) and beside.keys() <= {"file", "env"}  # the shape of a reference to a secret


def _place(details: ErrorDetails, content: object) -> Place:
    """The error's location without what pydantic adds to it: the names of a union's members, and `[key]`."""
    place: Place = ()
    for number, part in enumerate(details["loc"], 1):
        absent = number == len(details["loc"]) and details["type"] in ("missing", REFUSED)
        if absent or at(content, (*place, part)) is not MISSING:
            place = (*place, part)
    return place


def _sentence(details: ErrorDetails, place: Place, model: type[Any], content: object) -> str:
    kind = details["type"]
    if kind == "missing":
        return "is missing"
    if kind in _UNKNOWN_KEY:
        return unknown_key(str(place[-1]) if place else "", keys_at(model, place[:-1]), sections_at(model, place[:-1]))
    if details["loc"][-1:] == ("[key]",):
        return _NAMES["sources" if "sources" in details["loc"] else "assets"]
    secret = kind == "dataclass_type" and details.get("ctx", {}).get("class_name") == "Secret"
    if secret:
        return "must be a reference, {file: /path} or {env: NAME}, not the value itself"
    return _expected(details) + _but_found(details, place, content)


def _expected(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind in ("enum", "literal_error"):
        return f"must be one of {context['expected'].replace(' or ', ', ')}"
    if kind == "too_short":
        return f"must have at least one {str(details['loc'][-1]).removesuffix('s')}"
    message = details["msg"].replace("Input should", "must")
    return _EXPECTED.get(kind, message[:1].lower() + message[1:])


def _but_found(details: ErrorDetails, place: Place, content: object) -> str:
    value = details["input"]
    if details["type"] in _SPEAKS_FOR_ITSELF or (details["type"] in ("value_error", REFUSED) and _is_section(value)):
        return ""
    in_quotes = details["type"] == "string_type" and isinstance(value, bool | int | float)
    return f", found {found(value, place, content)}" + ("; write it in quotes" if in_quotes else "")


def _is_section(value: object) -> bool:
    return value is None or isinstance(value, Mapping | BaseModel) or dataclasses.is_dataclass(value)


def unknown_key(key: str, known: list[str], sections: Mapping[str, list[str]] | None = None) -> str:
    """The sentence for a key that there isn't; it may be one of a section's, which are told with the keys of each."""
    inside = [f"{name}.{key}" for name, keys in (sections or {}).items() if key in keys]
    close = inside or get_close_matches(key, known, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"{UNKNOWN}; {meant}known are {', '.join(sorted(known))}" if known else UNKNOWN


def keys_at(model: Any, place: Place) -> list[str]:
    """The keys that there can be at a place below a type; empty where any can, or none."""
    for part in place:
        model = next((step for step in (_step(kind, part) for kind in _members(model)) if step is not None), None)
    return [key for kind in _members(model) for key in _fields(kind)]


def sections_at(model: Any, place: Place) -> dict[str, list[str]]:
    """The sections that there are at a place below a type, with the keys of each; lists and mappings are none."""
    found = {key: keys_at(model, (*place, key)) for key in keys_at(model, place)}
    return {key: keys for key, keys in found.items() if keys}


def _members(model: Any) -> list[Any]:
    """The type itself, or those that a union is of; notes are taken off."""
    if get_origin(model) is Annotated:
        return _members(get_args(model)[0])
    if get_origin(model) in (Union, UnionType):
        return [member for each in get_args(model) for member in _members(each)]
    return [model]


def _fields(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return {}


def _step(kind: Any, part: str | int) -> Any:
    """The type one level down, None if this one has no such level."""
    if isinstance(part, str) and part in (fields := _fields(kind)):
        return fields[part]
    arguments = get_args(kind)
    if not arguments:
        return None
    return arguments[-1] if isinstance(part, str) else arguments[0]
