"""The options that several commands have, and the configuration that they lead to."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from refresher.errors import ConfigError
from refresher.options import parse_duration

if TYPE_CHECKING:
    from refresher.settings import Settings

T = TypeVar("T")

DEFAULT_CONFIG = Path("refresher.yaml")


def duration(written: str) -> timedelta:
    """The value of an option, with the error that the command line shows."""
    try:
        return parse_duration(written)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


Config = Annotated[
    Path | None, typer.Option("-c", "--config", envvar="REFRESHER_CONFIG", help="YAML, TOML or JSON, by its ending.")
]
Source = Annotated[str | None, typer.Option(help="A source URL, for one asset without a configuration file.")]
Directory = Annotated[Path | None, typer.Option(help="Where to publish what --source names.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")]
Asset = Annotated[str, typer.Argument(metavar="ASSET", show_default=False)]
Assets = Annotated[list[str] | None, typer.Argument(metavar="[ASSET]...", show_default=False)]


def path_of(config: Path | None) -> Path:
    """The configuration file."""
    return config or DEFAULT_CONFIG


def settings_of(
    config: Path | None, source: str | None = None, directory: Path | None = None, notify: list[str] | None = None
) -> "Settings":
    """The configuration, from its file or from `--source`. Raises ConfigError."""
    from refresher.settings import load, short_form

    if source is None and directory is None and not notify:
        if config is None and not DEFAULT_CONFIG.exists():
            raise ConfigError(f"{DEFAULT_CONFIG}: is not in this directory; -c or REFRESHER_CONFIG names another file")
        return load(path_of(config), os.environ)
    if source is None or directory is None:
        raise ConfigError("--source and --directory go together, and --notify with them")
    if config is not None:
        raise ConfigError("either a configuration file or --source")
    return short_form(source, directory, notify or [], os.environ)


def chosen(there: Mapping[str, T], names: list[str] | None) -> list[T]:
    """What is there under these names, all if there are none. Raises ConfigError for a name that no asset has."""
    unknown = sorted(set(names or ()) - there.keys())
    if unknown:
        raise ConfigError(f"no such asset: {', '.join(unknown)}")
    return [each for name, each in there.items() if not names or name in names]
