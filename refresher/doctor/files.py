"""The secrets and files that an asset's options lead to: whether they can be read, and never what is in them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from refresher.abilities import Observation
from refresher.errors import PermanentError
from refresher.options import LocalFile, Secret
from refresher.settings import AssetSettings

NAMES = frozenset({"ca_file", "cert_file", "key_file", "token_file"})
"""Paths that are read. Others are places to write, or the app's own, such as a PID file."""
ADVICE = "Put it there, mounted or set, so that this user can read it."


def files(asset: AssetSettings) -> Iterator[Observation]:
    """One observation for each, in the order of the configuration."""
    choices = (*asset.all_sources, *asset.verify, *asset.notify)
    found = dict.fromkeys(reference for choice in choices for reference in _references("", choice.options))
    for reference in found:
        yield readable(reference, of="secret") if isinstance(reference, Secret) else _file(reference)
    if not found:
        yield Observation.ok("files", "no option names a secret or a file")


def _references(name: str, value: object) -> Iterator[Secret | Path]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, LocalFile):
        yield value.file
    elif isinstance(value, Path) and name in NAMES:
        yield value
    for below, each in _inside(name, value):
        yield from _references(below, each)


def _inside(name: str, value: object) -> Iterator[tuple[str, object]]:
    """What an option consists of, each with its name."""
    if isinstance(value, BaseModel):
        yield from ((field, getattr(value, field)) for field in type(value).model_fields)
    elif isinstance(value, Mapping):
        yield from ((str(key), each) for key, each in value.items())
    elif isinstance(value, list | tuple):
        yield from ((name, each) for each in value)


def readable(secret: Secret, *, of: str) -> Observation:
    """Whether it can be read; `of` is what it is called."""
    try:
        secret.read()
    except PermanentError as error:
        return Observation.fail(of, str(error), ADVICE)
    return Observation.ok(of, f"{secret} can be read")


def _file(path: Path) -> Observation:
    if os.access(path, os.R_OK, effective_ids=True) and path.is_file():
        return Observation.ok("file", f"{path} can be read")
    return Observation.fail("file", f"{path} {_trouble_with(path)}", ADVICE)


def _trouble_with(path: Path) -> str:
    try:
        path.stat()
    except PermissionError:
        return "can't be looked at by this user"
    except OSError:
        return "is not there"
    return "can't be read by this user"
