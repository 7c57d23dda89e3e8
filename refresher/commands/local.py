"""The commands that work here, on the configuration and the volume; a running sidecar isn't needed."""

import json
import sys
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Annotated

import typer

from refresher import garbage
from refresher.commands.endings import DONE, NOT_UP_TO_DATE, end, fail, reporting_bad_configuration
from refresher.commands.options import Assets, Config, Directory, Json, Source, chosen, duration, path_of, settings_of
from refresher.errors import PermanentError


def run(
    config: Config = None,
    source: Source = None,
    directory: Directory = None,
    notify: Annotated[list[str] | None, typer.Option(help="A URL to POST each change to, with --source.")] = None,
) -> None:
    """Keep all assets fresh until SIGTERM."""
    from refresher.app import run as run_sidecar
    from refresher.logs import catch_all, configure
    from refresher.reload import ConfigurationFile

    with reporting_bad_configuration():
        configure(sys.stderr)
        catch_all()
        path = None if source else path_of(config)
        run_sidecar(ConfigurationFile(path, partial(settings_of, config, source, directory, notify)))
    end(DONE)


def once(
    config: Config = None,
    source: Source = None,
    directory: Directory = None,
    *,
    timeout: Annotated[timedelta, typer.Option(parser=duration, help="For everything together.")] = "2m",  # type: ignore[assignment]
    strict: Annotated[bool, typer.Option("--strict", help="Fail if any source failed.")] = False,
    notify: Annotated[bool, typer.Option("--notify", help="Tell the app, too.")] = False,
) -> None:
    """Ask every source once, publish what changed, and exit: for init containers and cron."""
    from refresher.bars import bars
    from refresher.logs import catch_all, configure
    from refresher.once import once as ask_all_once

    with reporting_bad_configuration():
        configure(sys.stderr)
        catch_all()
        settings = settings_of(config, source, directory, None)
        done = ask_all_once(settings, timeout=timeout, strict=strict, notify=notify, shown=bars)
    end(DONE if done else NOT_UP_TO_DATE)


def check(config: Config = None) -> None:
    """Validate the configuration; contact nothing."""
    from refresher.foresight import foreseen
    from refresher.settings import SharedParts, assets, warnings
    from refresher.words import counted

    with reporting_bad_configuration():
        settings = settings_of(config)
        kept = assets(settings, SharedParts())
        for warning in (*warnings(settings), *foreseen(kept)):
            print(f"warning: {warning}", file=sys.stderr)
    print(f"{path_of(config)} is valid: {counted(len(settings.assets), 'asset')}")


def plan(assets: Assets = None, config: Config = None, *, as_json: Json = False) -> None:
    """Explain when each asset is due next, and why; contact nobody, and write nothing."""
    from refresher.host import now, seed
    from refresher.plan import plan as planned
    from refresher.plan import plan_document, plan_text
    from refresher.settings import SharedParts
    from refresher.settings import assets as all_assets

    moment = now()
    with reporting_bad_configuration(), closing(SharedParts()) as shared:
        kept = {asset.name: asset for asset in all_assets(settings_of(config), shared)}
        try:
            plans = [plan_document(planned(asset, now=moment, seed=seed())) for asset in chosen(kept, assets)]
        except PermanentError as error:
            fail(NOT_UP_TO_DATE, str(error))
    print(json.dumps(plans, indent=2) if as_json else plan_text(plans, now=moment))


def doctor(
    assets: Assets = None,
    config: Config = None,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings, too.")] = False,
    as_json: Json = False,
) -> None:
    """Examine sources, volume, apps and listeners; tell nobody, and write nothing."""
    from refresher.doctor import examination_document, examination_text, examine
    from refresher.host import now, part_on_sigterm
    from refresher.settings import SharedParts
    from refresher.settings import assets as all_assets

    with reporting_bad_configuration(), closing(SharedParts()) as shared:
        settings = settings_of(config)
        part_on_sigterm()
        kept = {asset.name: asset for asset in all_assets(settings, shared)}
        examination = examine(settings, chosen(kept, assets), clock=now)
    document = examination_document(examination)
    print(json.dumps(document, indent=2) if as_json else examination_text(document))
    end(DONE if examination.passes(strict=strict) else NOT_UP_TO_DATE)


def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from refresher.settings.schema import schema as schema_of_settings

    print(json.dumps(schema_of_settings(), indent=2))


def demo(*, rotations: Annotated[int, typer.Option(min=0, help="How many to show; 0: until Ctrl-C.")] = 3) -> None:
    """Show the whole thing on this machine: real servers, rotating certificates, a TLS app."""
    from refresher.demo.show import show

    garbage.collect_from_now_on()
    raise typer.Exit(show(rotations=rotations))
