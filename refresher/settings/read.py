"""From a file, the environment or the command line's short form to `Settings`, or to every problem at once."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from refresher.errors import ConfigError
from refresher.plugins import Kind, installed
from refresher.render.entries import Entry
from refresher.settings.choices import Choices, Problem
from refresher.settings.directories import below_volume, overlaps, problem_below_volume
from refresher.settings.environment import override
from refresher.settings.expected import never_there
from refresher.settings.files import read_file
from refresher.settings.models import DEFAULT_VOLUME, Control, Settings
from refresher.settings.paths import MISSING, Place, at, laid_over, one_line, unusable_texts, written
from refresher.settings.problems import problems, unknown_key

_SECTIONS = ("render", "verify", "publish", "notify", "refresh", "limits")
_DEFAULTED = ("publish", "refresh", "required", "max_stale", "limits")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9-]+")


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """The configuration in a file, with the environment's overrides. Raises ConfigError with every problem."""
    if path is None:
        return read({}, environment)
    return read(read_file(path), environment, beside=path.parent)


def load_control(path: Path, environment: Mapping[str, str]) -> Control:
    """Its section `control`: who asks a running sidecar needs no more, and the rest may not work at the moment.

    Raises ConfigError with every problem, if there is one in this section or the file can't be read.
    """
    try:
        return load(path, environment).control
    except ConfigError as broken:
        try:
            content = override(read_file(path), environment, frozenset(Settings.model_fields)).content
            return Control.model_validate(content.get("control") or {})
        except (ConfigError, ValidationError):
            raise broken from None


def short_form(
    source: str, directory: Path, notify: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Settings:
    """The configuration of one asset, named after its directory, from a source URL and the URLs to tell."""
    absolute = Path(os.path.normpath(directory.absolute()))
    if absolute.parent == absolute:
        raise ConfigError("the directory must be below a volume, not the file system's root")
    name = _NOT_IN_A_NAME.sub("-", absolute.name.lower()).strip("-")[:63] or "files"
    asset = {
        "source": source,
        "publish": {"directory": str(absolute)},
        "notify": [{"http": {"url": url}} for url in notify],
    }
    return read({"volume": str(absolute.parent), "assets": {name: asset}}, environment or {})


def read(content: Mapping[str, Any], environment: Mapping[str, str], *, beside: Path = Path()) -> Settings:
    """The configuration that is already parsed, with the environment's overrides. Raises ConfigError.

    `beside` is the directory that paths of templates are relative to: that of the file.
    """
    overridden = override(content, environment, frozenset(Settings.model_fields))
    given = overridden.content
    volume = _volume(given)
    choices = Choices(volume=volume, providers=_mapping(given, "providers"))
    whole = _whole(given, choices)
    assets = _mapping(whole, "assets")
    directories, triggers = dict(_directories(assets)), dict(_triggers(assets))
    settings, unread = _validated(whole)
    found = [*_refused(given), *unusable_texts(given), *choices.problems, *unread]
    found += never_there(settings) if settings else ()
    for place, path in (*directories.values(), *triggers.values()):
        found += [(place, problem)] if (problem := problem_below_volume(path)) else []
    published, heard = _absolute(volume, directories), _absolute(volume, triggers)
    found += overlaps(volume, published, choices.volume_paths, list(heard.values()))
    told = [_told(place, sentence, given, overridden.set_by) for place, sentence in found]
    if settings is None or told or overridden.problems:
        raise ConfigError(*dict.fromkeys(map(one_line, [*overridden.problems, *told])))
    return _located(settings, _paths(published), _paths(heard), beside.absolute())


def _volume(given: Mapping[str, Any]) -> Path:
    volume = given.get("volume")
    return Path(os.path.normpath(Path(volume).absolute())) if isinstance(volume, str) and volume else DEFAULT_VOLUME


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping below a key; empty where there is something else, which pydantic refuses."""
    value = content.get(key)
    return value if isinstance(value, Mapping) else {}


def _refused(given: Mapping[str, Any]) -> Iterator[Problem]:
    """What no section's own model can see."""
    for key in given.keys() - Settings.model_fields.keys():
        yield (key,), unknown_key(key, list(Settings.model_fields))
    for name in _mapping(given, "providers").keys() - installed(Kind.PROVIDER):
        yield ("providers", name), f"there is no such provider; installed are: {', '.join(installed(Kind.PROVIDER))}"
    if given.get("volume") == "":
        yield ("volume",), "must not be empty"


def _whole(given: Mapping[str, Any], choices: Choices) -> dict[str, Any]:
    """What pydantic gets: assets with their defaults, and their plugins chosen. Empty sections count as absent."""
    whole = {key: value for key, value in given.items() if key in Settings.model_fields and value is not None}
    if isinstance(whole.get("volume"), str):
        whole["volume"] = choices.volume
    if "defaults" in whole:
        whole["defaults"] = _with_text_ids(whole["defaults"])
    if isinstance(given.get("assets"), Mapping):
        defaults = _mapping(whole, "defaults")
        whole["assets"] = {name: _asset(name, asset, defaults, choices) for name, asset in given["assets"].items()}
    return whole


def _asset(name: str, asset: object, defaults: Mapping[str, Any], choices: Choices) -> object:
    if not isinstance(asset, Mapping):
        return asset
    said = {key: value for key, value in asset.items() if value is not None or key not in _SECTIONS}
    inherited = {key: value for key, value in defaults.items() if key in _DEFAULTED}
    merged = laid_over(inherited, _with_text_ids(said))
    verifiers = partial(choices.verifiers, sources=_mapping(merged, "sources").keys())
    readers: Mapping[str, Callable[[object, Place], object]] = {
        "source": choices.source,
        "sources": choices.sources,
        "verify": verifiers,
        "notify": choices.notifiers,
    }
    read = {key: readers[key](merged[key], ("assets", name, key)) for key in readers.keys() & merged.keys()}
    return merged | read


def _with_text_ids(section: object) -> Any:
    """YAML reads `owner: 1000` as a number, and that is what people write."""
    if not isinstance(section, Mapping) or not isinstance(section.get("publish"), Mapping):
        return section
    publish = section["publish"]
    ids = {key: str(publish[key]) for key in ("owner", "group") if type(publish.get(key)) is int}
    return {**section, "publish": {**publish, **ids}}


def _validated(whole: dict[str, Any]) -> tuple[Settings | None, list[Problem]]:
    try:
        return Settings(**whole), []
    except ValidationError as error:
        return None, list(problems(error, Settings, whole))


def _directories(assets: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Place, str]]]:
    """Each asset's directory as it is written, or its name; those that pydantic refuses are left out."""
    for name, asset in assets.items():
        publish = _mapping(asset, "publish") if isinstance(asset, Mapping) else {}
        directory = publish.get("directory")
        if directory is None or isinstance(directory, str):
            yield name, (("assets", name, "publish", "directory"), name if directory is None else directory)


def _triggers(assets: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Place, str]]]:
    """Each asset's trigger file as it is written, of those that have one."""
    for name, asset in assets.items():
        trigger = _mapping(asset, "refresh").get("trigger") if isinstance(asset, Mapping) else None
        if isinstance(trigger, str):
            yield name, (("assets", name, "refresh", "trigger"), trigger)


def _absolute(volume: Path, written_as: Mapping[str, tuple[Place, str]]) -> dict[str, tuple[Place, Path]]:
    return {name: (place, below_volume(volume, path)) for name, (place, path) in written_as.items()}


def _paths(placed: Mapping[str, tuple[Place, Path]]) -> dict[str, Path]:
    return {name: path for name, (_, path) in placed.items()}


def _told(place: Place, sentence: str, given: Mapping[str, Any], set_by: Mapping[Place, str]) -> str:
    """The problem as one line, at the place where the user wrote the value, which may be a default's."""
    origin = _origin(place, given)
    variables = (set_by[origin[:end]] for end in range(len(origin), 0, -1) if origin[:end] in set_by)
    variable = next(variables, None)
    return f"{written(origin)}: {sentence}" + (f" (set by {variable})" if variable else "")


def _origin(place: Place, given: Mapping[str, Any]) -> Place:
    if place[:1] != ("assets",) or at(given, place) is not MISSING:
        return place
    below = {"source": 3, "sources": 4}.get(str(place[2])) if place[2:] else None
    shared = ("providers", *place[below:]) if below else ("defaults", *place[2:])
    return shared if len(shared) > 1 and at(given, shared) is not MISSING else place


def _located(
    settings: Settings, directories: Mapping[str, Path], triggers: Mapping[str, Path], beside: Path
) -> Settings:
    """With absolute paths."""
    assets = {
        name: asset.model_copy(
            update={
                "publish": replace(asset.publish, directory=directories[name]),
                "refresh": replace(asset.refresh, trigger=triggers.get(name)),
                "render": {file: _beside(beside, entry) for file, entry in asset.render.items()},
            }
        )
        for name, asset in settings.assets.items()
    }
    return settings.model_copy(update={"assets": assets})


def _beside(directory: Path, entry: Entry) -> Entry:
    return entry if entry.template is None else replace(entry, template=directory / entry.template)
