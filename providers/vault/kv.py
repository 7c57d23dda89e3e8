"""Where a path is read: which engine serves it, and what key-value engines wrap around the fields."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from providers.vault.connection import Answer, section
from providers.vault.login import Login
from providers.vault.mounts import Engine, Mounts
from providers.vault.reads import Endpoint, Reading
from providers.vault.session import Session
from refresher.errors import PermanentError


class Visitor(Protocol):
    """Who asks with a token, and remembers what was said of mounts, by their paths."""

    @property
    def mounts(self) -> Mounts:
        """As the server told."""
        ...

    def send(self, method: str, path: str) -> tuple[Answer, Login]:
        """One request, and the login it was made with."""
        ...


def read(session: Session, path: str, endpoint: Endpoint | None, version: int | None) -> Reading:
    """Read `path`, having asked where that is if need be, and never twice: a second read makes a second login."""
    endpoint = endpoint or located(session, path)
    return _read(session, endpoint, version) if endpoint else _tried(session, path, version)


def _read(session: Session, endpoint: Endpoint, version: int | None) -> Reading:
    asked_at = session.clock()
    query = {} if version is None else {"version": str(version)}
    answer, login = session.send("GET", endpoint.path, query=query)
    return Reading(endpoint, answer, login, asked_at)


def located(session: Visitor, path: str) -> Endpoint | None:
    """Ask the server which engine serves `path`, once for all paths of a mount; None if it doesn't say."""
    found = session.mounts.of(path, lambda: _said_of(session, path))
    return _inside(*found, path) if found else None


def _said_of(session: Visitor, path: str) -> tuple[str, Engine] | None:
    """The mount and its engine; the path itself, and an engine of no type, if the server names no mount."""
    answer, _ = session.send("GET", f"sys/internal/ui/mounts/{path}")
    if answer.status in (403, 404):
        return None
    mount = answer.required().data.get("path")
    return (mount, answer.data) if isinstance(mount, str) and mount.endswith("/") else (path, {})


def _inside(mount: str, engine: Engine, path: str) -> Endpoint:
    versioned = engine.get("type") == "kv" and section(engine, "options").get("version") == "2"
    return Endpoint(with_data(path, mount) if versioned else path, versioned)


def _tried(session: Session, path: str, version: int | None) -> Reading:
    """The path as it's written, or else with the `/data/` of version 2 after its first part: whichever says more."""
    readings = []
    for each in dict.fromkeys((path, with_data(path, path.partition("/")[0] + "/"))):
        reading = _read(session, Endpoint(each, versioned=False), version)
        reading = replace(reading, endpoint=Endpoint(each, versioned=_version(reading.answer.data) is not None))
        if reading.answer.status == 200 or reading.endpoint.versioned:
            return reading
        if reading.answer.status not in (403, 404, 405):
            reading.answer.required()
        readings.append(reading)
    return min(readings, key=lambda each: each.answer.status != 404)


def with_data(path: str, mount: str) -> str:
    """`secret/app` and `secret/data/app` are both `secret/data/app`."""
    inside = path.removeprefix(mount)
    return path if inside.startswith("data/") else f"{mount}data/{inside}"


def contents(reading: Reading, version: int | None) -> tuple[Mapping[str, Any], str | None]:
    """The fields, and the version's name if the engine keeps versions. Raises PermanentError if there is nothing.

    A version's number begins again when all versions are deleted, so its time belongs to its name.
    """
    answer, endpoint = reading.answer, reading.endpoint
    if answer.status == 404:
        raise PermanentError(_why_missing(answer, endpoint, version))
    data = answer.required().data
    if version is not None and not endpoint.versioned:
        raise PermanentError(f"{answer.request}: no version {version}, the engine there keeps none: leave version out")
    fields = section(data, "data") if endpoint.versioned else data
    if not fields:
        raise PermanentError(f"{answer.request} found no fields")
    return fields, _version(data) if endpoint.versioned else None


def _version(data: Mapping[str, Any]) -> str | None:
    metadata = section(data, "metadata")
    if "version" not in metadata or "created_time" not in metadata:
        return None
    return f"{metadata['version']}@{metadata['created_time']}"


def _why_missing(answer: Answer, endpoint: Endpoint, version: int | None) -> str:
    metadata = section(answer.data, "metadata") if endpoint.versioned else {}
    if metadata.get("destroyed"):
        return f"{answer.request}: version {metadata.get('version')} was destroyed"
    if metadata.get("deletion_time"):
        return f"{answer.request}: version {metadata.get('version')} was deleted at {metadata['deletion_time']}"
    return f"{answer.request}: " + (f"there is no version {version}" if version else "nothing is there")
