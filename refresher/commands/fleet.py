"""The command that plans a deployment: what a fleet would do to its source."""

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refresher import garbage
from refresher.commands.endings import NOT_UP_TO_DATE, fail, reporting_bad_configuration
from refresher.commands.options import Config, Json, chosen, duration, settings_of
from refresher.errors import ConfigError, PermanentError

if TYPE_CHECKING:
    from refresher.model import Refresh

LONGEST = timedelta(days=3650)
"""Of any time that is simulated, so that no moment lies beyond the calendar."""


def time(written: str) -> timedelta:
    """A duration for which there is a calendar."""
    parsed = duration(written)
    if parsed > LONGEST:
        raise typer.BadParameter(f"at most {LONGEST.days}d")
    return parsed


def simulate(
    asset: Annotated[
        str | None, typer.Argument(metavar="ASSET", show_default=False, help="Whose `refresh` all have.")
    ] = None,
    config: Config = None,
    *,
    pods: Annotated[int, typer.Option(min=1, max=100_000, help="How many there are.")] = 10_000,
    rollout: Annotated[timedelta, typer.Option(parser=time, help="In which they are started.")] = "5m",  # type: ignore[assignment]
    lifetime: Annotated[timedelta, typer.Option(parser=time, help="Of a certificate; 0s: leave them out.")] = "24h",  # type: ignore[assignment]
    outage: Annotated[timedelta, typer.Option(parser=time, help="How long the source is away.")] = "10m",  # type: ignore[assignment]
    hang: Annotated[
        timedelta, typer.Option(parser=time, help="How long a request then waits to fail; 0s: it is refused.")
    ] = "0s",  # type: ignore[assignment]
    capacity: Annotated[
        float | None, typer.Option(min=1, help="Requests a second that it can bear; more get an error.")
    ] = None,
    skew: Annotated[timedelta, typer.Option(parser=time, help="How wrong the pods' clocks are, at the most.")] = "0s",  # type: ignore[assignment]
    seed: Annotated[int, typer.Option(help="Another number draws another fleet.")] = 1,
    picture: Annotated[Path | None, typer.Option(help="Draw it, too: a file ending in .svg or .png.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a fleet does to its source: a deployment, a rotation, an outage; contact nobody."""
    from refresher.simulate import Behaviour, Fleet, findings_document, findings_text, of_certificates, of_values
    from refresher.simulate import simulated as findings_of
    from refresher.simulate.picture import draw, refuse_unfit

    garbage.collect_from_now_on()
    with reporting_bad_configuration():
        refresh = _refresh(asset, config)
        if picture:
            refuse_unfit(picture)
        if not refresh.every and not lifetime:
            raise ConfigError("refresh.every and --lifetime are 0, so there is nothing to simulate")
    courses = [of_values(refresh.every, rollout=rollout, outage=outage)] if refresh.every else []
    courses += [of_certificates(lifetime, rollout=rollout, outage=outage)] if lifetime else []
    fleet = Fleet(pods=pods, refresh=refresh, rollout=rollout, skew=skew, seed=seed)
    source = Behaviour(patience=hang, capacity=capacity)
    findings = [findings_of(fleet, course, source) for course in courses]
    documents = [findings_document(each) for each in findings]
    print(json.dumps(documents, indent=2) if as_json else "\n\n".join(findings_text(each) for each in findings))
    try:
        if picture:
            draw(findings, picture)
    except PermanentError as error:
        fail(NOT_UP_TO_DATE, str(error))


def _refresh(asset: str | None, config: Path | None) -> "Refresh":
    """That of the asset, or what assets have that say nothing. Raises ConfigError."""
    from refresher.model import Refresh

    if asset is None and config is None:
        return Refresh()
    settings = settings_of(config)
    if asset is None:
        return settings.defaults.refresh or Refresh()
    return chosen(settings.assets, [asset])[0].refresh
