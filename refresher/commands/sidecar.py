"""The commands that a running sidecar is asked for, over its local API."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import typer

from refresher.commands.endings import (
    BAD_CONFIGURATION,
    DONE,
    NOT_UP_TO_DATE,
    complain,
    fail,
    reporting_bad_configuration,
    reporting_failed_call,
)
from refresher.commands.options import DEFAULT_CONFIG, Asset, Assets, Config, Json, chosen, duration, path_of
from refresher.errors import ConfigError
from refresher.options import write_duration

if TYPE_CHECKING:  # each command loads only what it needs
    from refresher.client import Client
    from refresher.words import Level

DEFAULT_LISTEN = "127.0.0.1:8470"
COLOURS = {"UNUSABLE": "red", "TROUBLE": "yellow"}


def refresh(
    assets: Assets = None,
    config: Config = None,
    *,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask, and don't wait for the outcomes.")] = False,
    timeout: Annotated[timedelta, typer.Option(parser=duration, help="How long to wait.")] = "60s",  # type: ignore[assignment]
    as_json: Json = False,
) -> None:
    """Ask the running sidecar to refresh now, wait, and print each outcome."""
    from refresher.bars import bars
    from refresher.client import documents
    from refresher.tables import outcome_table

    query = urlencode({"wait": "false"} if no_wait else {"timeout": write_duration(timeout)})
    paths = {asset: f"/refresh/{quote(asset, safe='')}" for asset in assets or []} or {"": "/refresh"}
    with reporting_bad_configuration(), reporting_failed_call():
        client, limit = _client(config), timeout.total_seconds() + 5
        with nullcontext() if as_json else bars(lambda: client.transfers(assets or [])):
            answers = {asset: client.post(f"{path}?{query}", timeout=limit) for asset, path in paths.items()}
    outcomes = [document for _, answer in answers.values() for document in documents(answer) or ()]
    problems = [_problem(asset, *answer) for asset, answer in answers.items() if documents(answer[1]) is None]
    if outcomes or not problems:
        _print(outcomes, as_json=as_json, table=outcome_table)
    if problems:
        complain("\n".join(problems))
    raise typer.Exit(max(NOT_UP_TO_DATE if problems else DONE, *(_code(status) for status, _ in answers.values())))


def status(assets: Assets = None, config: Config = None, *, as_json: Json = False) -> None:
    """Ask the running sidecar how each asset stands."""
    from refresher.client import configuration, documents, reason
    from refresher.host import now
    from refresher.tables import status_table
    from refresher.words import configuration_alarms

    with reporting_bad_configuration(), reporting_failed_call():
        _, answer = _client(config).get("/assets")
        known = documents(answer)
        if known is None:
            fail(NOT_UP_TO_DATE, reason(answer))
        states = chosen({state["asset"]: state for state in known}, assets)
    _print(states, as_json=as_json, table=lambda rows: status_table(rows, now=now(), paint=_paint))
    for alarm in configuration_alarms(configuration(answer)):
        complain(alarm)


def rollback(
    asset: Asset,
    config: Config = None,
    *,
    to: Annotated[int | None, typer.Option(min=1, help="Its number; the one before the visible, unless given.")] = None,
) -> None:
    """Put an earlier kept generation back, and pin it; needs control.token, or a Unix socket."""
    _by_hand(config, "rollback", asset, f"?to={to}" if to is not None else "")


def unpin(asset: Asset, config: Config = None) -> None:
    """Follow the source again; needs control.token, or a Unix socket."""
    _by_hand(config, "unpin", asset)


def _by_hand(config: Path | None, call: str, asset: str, query: str = "") -> None:
    from refresher.tables import outcome_table

    with reporting_bad_configuration(), reporting_failed_call():
        status, answer = _client(config).post(f"/{call}/{quote(asset, safe='')}{query}", timeout=60)
    if status >= 300:
        fail(_code(status), _problem(asset, status, answer))
    print(outcome_table([answer]))


def _client(config: Path | None) -> "Client":
    from refresher.client import Client
    from refresher.settings import load_control

    if config is None and not DEFAULT_CONFIG.exists():
        return Client(DEFAULT_LISTEN)  # as a sidecar that runs without a file
    control = load_control(path_of(config), os.environ)
    if control.listen is None:
        raise ConfigError("control.listen: is off, so that nobody can be asked")
    return Client(str(control.listen), token=control.token)


def _code(status: int) -> int:
    """The exit code for an answer's status; 404 is an asset that there isn't."""
    if status < 300:
        return DONE
    return BAD_CONFIGURATION if status == 404 else NOT_UP_TO_DATE


def _problem(asset: str, status: int, answer: Any) -> str:
    from refresher.client import reason

    return f"no such asset: {asset}" if status == 404 else reason(answer)


def _print(
    documents: Sequence[dict[str, Any]], *, as_json: bool, table: Callable[[Sequence[dict[str, Any]]], str]
) -> None:
    typer.echo(json.dumps(documents, indent=2) if as_json else table(documents))  # no colours into a pipe


def _paint(level: "Level", line: str) -> str:
    """In colour what can't be used and what is in trouble, unless somebody wants none (no-color.org)."""
    colour = COLOURS.get(level.name)
    plain = colour is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return line if plain else typer.style(line, fg=colour)
