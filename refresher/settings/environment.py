"""Overrides from the environment: `REFRESHER_ASSETS__WEB_TLS__REFRESH__EVERY=1m`.

`__` stands between levels, `_` also for `-` and `.` where the file has such a key. Plain values stay text, which the
settings read like any other text, so that `0640` needs no quotes here; lists, mappings and null are written as in YAML
or JSON.
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from refresher.errors import ConfigError
from refresher.settings.paths import DEPTH_LIMIT, Place, written

PREFIX = "REFRESHER_"
_NOT_OURS = re.compile(
    r"REFRESHER_(CONFIG$|PORT|SERVICE_"
    # what Kubernetes injects for any Service whose name begins with "refresher-"
    r"|\w+_SERVICE_(HOST$|PORT)|\w+_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$)"
)
_AS_IN_A_VARIABLE = str.maketrans("-.", "__")
_STRUCTURED = ("[", "{", '"', "'")


class Overridden(NamedTuple):
    """The configuration with the environment's values in it, which variable set each place, and what was wrong."""

    content: dict[str, Any]
    set_by: dict[Place, str]
    problems: list[str]


def override(content: Mapping[str, Any], environment: Mapping[str, str], known: frozenset[str]) -> Overridden:
    """The content with each `REFRESHER_…` variable laid over it; `known` are the top-level keys that there can be."""
    result = Overridden(deepcopy(dict(content)), {}, [])
    referenced = set(_secret_variables(content))
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or _NOT_OURS.match(variable) or variable in referenced:
            continue
        try:
            place = _place(result.content, variable, known)
            _put(result.content, place, _value(environment[variable]))
        except ConfigError as error:
            result.problems.extend(f"{variable}: {problem}" for problem in error.problems)
        else:
            result.set_by[place] = variable
    return result


def _secret_variables(content: object) -> Iterator[str]:
    """The variables that the file itself names, `{env: REFRESHER_TOKEN}`: secrets, and no settings."""
    if isinstance(content, Mapping):
        if isinstance(content.get("env"), str):
            yield content["env"]
        for value in content.values():
            yield from _secret_variables(value)
    elif isinstance(content, list):
        for value in content:
            yield from _secret_variables(value)


def _place(content: Mapping[str, Any], variable: str, known: frozenset[str]) -> tuple[str, ...]:
    segments = variable.removeprefix(PREFIX).lower().split("__")
    if segments[0] not in known:
        raise ConfigError(f"sets no known key; known are {', '.join(sorted(known))}")
    place: list[str] = []
    inside: Any = content
    for segment in segments:
        if inside is not None and not isinstance(inside, Mapping):
            raise ConfigError(f"{written(tuple(place))} is not a mapping; set it as a whole, written as JSON")
        names = {str(name).lower().translate(_AS_IN_A_VARIABLE): name for name in inside or {}}
        if place == ["assets"] and segment not in names:
            raise ConfigError(f"there is no asset {segment!r} in the file, and the environment can't make one")
        place.append(names.get(segment, segment))
        inside = (inside or {}).get(place[-1])
    if place == ["assets"]:
        raise ConfigError("sets single values of an asset that the file has, not all assets")
    return tuple(place)


def _value(text: str) -> Any:
    if text.lstrip().startswith(_STRUCTURED) or text == "null":
        from refresher.plain_yaml import parse  # the parser is loaded for structured values only

        return parse(text, depth=DEPTH_LIMIT)
    return text


def _put(content: dict[str, Any], place: tuple[str, ...], value: object) -> None:
    for part in place[:-1]:
        if content.get(part) is None:
            content[part] = {}
        content = content[part]
    content[place[-1]] = value
