"""The command line: commands, exit codes, and what people read. The work is done elsewhere."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from urllib.parse import quote, urlencode

import typer

from refresher import __version__
from refresher.errors import ConfigError, PermanentError
from refresher.host import end_on_sigterm
from refresher.options import parse_duration

if TYPE_CHECKING:  # each command loads only what it needs
    from refresher.client import Client
    from refresher.settings import Settings
    from refresher.words import Level

DONE, NOT_UP_TO_DATE, BAD_CONFIGURATION, UNREACHABLE = 0, 1, 2, 3
DEFAULT_CONFIG = Path("refresher.yaml")
DEFAULT_LISTEN = "127.0.0.1:8470"
COLOURS = {"UNUSABLE": "red", "TROUBLE": "yellow"}

app = typer.Typer(
    help="Keeps a directory of a shared volume fresh: pulled, verified, published at once, and the app told.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _duration(written: str) -> timedelta:
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


def main() -> None:
    """Run a command and exit with its code."""
    end_on_sigterm()
    app()


@app.callback(invoke_without_command=True)
def version(
    *, show: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False
) -> None:
    """Keep a directory of a shared volume fresh."""
    if show:
        print(__version__)
        raise typer.Exit(DONE)


@app.command()
def run(
    config: Config = None,
    source: Source = None,
    directory: Directory = None,
    notify: Annotated[list[str] | None, typer.Option(help="A URL to POST each change to, with --source.")] = None,
) -> None:
    """Keep all assets fresh until SIGTERM."""
    from refresher.app import run as run_sidecar
    from refresher.logs import catch_all, configure

    with _reporting_bad_configuration():
        configure(sys.stderr)
        catch_all()
        run_sidecar(_settings(config, source, directory, notify))
    _end(DONE)


@app.command()
def once(
    config: Config = None,
    source: Source = None,
    directory: Directory = None,
    *,
    timeout: Annotated[timedelta, typer.Option(parser=_duration, help="For everything together.")] = "2m",  # type: ignore[assignment]
    strict: Annotated[bool, typer.Option("--strict", help="Fail if any source failed.")] = False,
    notify: Annotated[bool, typer.Option("--notify", help="Tell the app, too.")] = False,
) -> None:
    """Ask every source once, publish what changed, and exit: for init containers and cron."""
    from refresher.bars import bars
    from refresher.logs import configure
    from refresher.once import once as ask_all_once

    with _reporting_bad_configuration():
        configure(sys.stderr)
        settings = _settings(config, source, directory, None)
        done = ask_all_once(settings, timeout=timeout, strict=strict, notify=notify, shown=bars)
    _end(DONE if done else NOT_UP_TO_DATE)


@app.command()
def check(config: Config = None) -> None:
    """Validate the configuration; contact nothing."""
    from refresher.foresight import foreseen
    from refresher.settings import SharedParts, assets, warnings

    with _reporting_bad_configuration():
        settings = _settings(config)
        kept = assets(settings, SharedParts())
        for warning in (*warnings(settings), *foreseen(kept)):
            print(f"warning: {warning}", file=sys.stderr)
    count = len(settings.assets)
    print(f"{_path(config)} is valid: {count} asset{'' if count == 1 else 's'}")


@app.command()
def refresh(
    assets: Assets = None,
    config: Config = None,
    *,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask, and don't wait for the outcomes.")] = False,
    timeout: Annotated[timedelta, typer.Option(parser=_duration, help="How long to wait.")] = "60s",  # type: ignore[assignment]
    as_json: Json = False,
) -> None:
    """Ask the running sidecar to refresh now, wait, and print each outcome."""
    from refresher.bars import bars
    from refresher.client import documents
    from refresher.tables import outcome_table

    query = urlencode({"wait": "false"} if no_wait else {"timeout": f"{timeout.total_seconds():g}s"})
    paths = {asset: f"/refresh/{quote(asset, safe='')}" for asset in assets or []} or {"": "/refresh"}
    with _reporting_bad_configuration(), _reporting_failed_call():
        client, limit = _client(config), timeout.total_seconds() + 5
        with nullcontext() if as_json else bars(lambda: client.transfers(assets or [])):
            answers = {asset: client.post(f"{path}?{query}", timeout=limit) for asset, path in paths.items()}
    outcomes = [document for _, answer in answers.values() for document in documents(answer) or ()]
    problems = [_problem(asset, *answer) for asset, answer in answers.items() if documents(answer[1]) is None]
    if outcomes or not problems:
        _print(outcomes, as_json=as_json, table=outcome_table)
    if problems:
        print("\n".join(problems), file=sys.stderr)
    raise typer.Exit(max(NOT_UP_TO_DATE if problems else DONE, *(_code(status) for status, _ in answers.values())))


@app.command()
def status(assets: Assets = None, config: Config = None, *, as_json: Json = False) -> None:
    """Ask the running sidecar how each asset stands."""
    from refresher.client import documents
    from refresher.host import now
    from refresher.tables import status_table

    with _reporting_bad_configuration(), _reporting_failed_call():
        _, answer = _client(config).get("/assets")
    known = documents(answer)
    if known is None:
        _fail(NOT_UP_TO_DATE, _reason(answer))
    states = [state for state in known if not assets or state["asset"] in assets]
    unknown = sorted(set(assets or ()) - {state["asset"] for state in states})
    if unknown:
        _fail(BAD_CONFIGURATION, f"no such asset: {', '.join(unknown)}")
    _print(states, as_json=as_json, table=lambda rows: status_table(rows, now=now(), paint=_paint))


@app.command()
def rollback(
    asset: Asset, config: Config = None, *, to: Annotated[int | None, typer.Option(min=1, help="Which one.")] = None
) -> None:
    """Put an earlier kept generation back, and pin it."""
    _by_hand(config, "rollback", asset, f"?to={to}" if to is not None else "")


@app.command()
def unpin(asset: Asset, config: Config = None) -> None:
    """Follow the source again."""
    _by_hand(config, "unpin", asset)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from refresher.settings.schema import schema as schema_of_settings

    print(json.dumps(schema_of_settings(), indent=2))


@app.command()
def demo(*, rotations: Annotated[int, typer.Option(min=0, help="How many to show; 0: until Ctrl-C.")] = 3) -> None:
    """Show the whole thing on this machine: real servers, rotating certificates, a TLS app."""
    from refresher.demo.show import show

    raise typer.Exit(show(rotations=rotations))


def _by_hand(config: Path | None, call: str, asset: str, query: str = "") -> None:
    from refresher.tables import outcome_table

    with _reporting_bad_configuration(), _reporting_failed_call():
        status, answer = _client(config).post(f"/{call}/{quote(asset, safe='')}{query}", timeout=60)
    if status >= 300:
        _fail(_code(status), _problem(asset, status, answer))
    print(outcome_table([answer]))


def _path(config: Path | None) -> Path:
    return config or DEFAULT_CONFIG


def _settings(
    config: Path | None, source: str | None = None, directory: Path | None = None, notify: list[str] | None = None
) -> "Settings":
    from refresher.settings import load, short_form

    if source is None and directory is None and not notify:
        return load(_path(config), os.environ)
    if source is None or directory is None:
        raise ConfigError("--source and --directory go together, and --notify with them")
    if config is not None:
        raise ConfigError("either a configuration file or --source")
    return short_form(source, directory, notify or [], os.environ)


def _client(config: Path | None) -> "Client":
    from refresher.client import Client

    if config is None and not DEFAULT_CONFIG.exists():
        return Client(DEFAULT_LISTEN)  # as a sidecar that runs without a file
    control = _settings(config).control
    if control.listen is None:
        raise ConfigError("control.listen: is off, so that nobody can be asked")
    return Client(str(control.listen), token=control.token)


def _code(status: int) -> int:
    """The exit code for an answer's status; 404 is an asset that there isn't."""
    if status < 300:
        return DONE
    return BAD_CONFIGURATION if status == 404 else NOT_UP_TO_DATE


def _problem(asset: str, status: int, answer: Any) -> str:
    return f"no such asset: {asset}" if status == 404 else _reason(answer)


def _reason(problem: Any) -> str:
    return (
        str(problem.get("detail") or problem.get("title"))
        if isinstance(problem, dict)
        else "no answer that makes sense"
    )


def _print(documents: list[dict[str, Any]], *, as_json: bool, table: Any) -> None:
    typer.echo(json.dumps(documents, indent=2) if as_json else table(documents))  # no colours into a pipe


def _paint(level: "Level", line: str) -> str:
    """In colour what can't be used and what is in trouble, unless somebody wants none (no-color.org)."""
    colour = COLOURS.get(level.name)
    plain = colour is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return line if plain else typer.style(line, fg=colour)


def _fail(code: int, message: str) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)


@contextmanager
def _reporting_bad_configuration() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        _fail(BAD_CONFIGURATION, "\n".join(error.problems))


@contextmanager
def _reporting_failed_call() -> Iterator[None]:
    from refresher.client import UnreachableError

    try:
        yield
    except UnreachableError as error:
        _fail(UNREACHABLE, str(error))
    except PermanentError as error:
        _fail(BAD_CONFIGURATION, str(error))


def _end(code: int) -> NoReturn:
    """Leave at once: a thread that waits for a source that never answers must not hold up the end of a pod."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
