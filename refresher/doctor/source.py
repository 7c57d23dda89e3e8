"""A source, as its provider sees it, and the server's clock beside ours."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from refresher import able
from refresher.abilities import Observation
from refresher.model import Asset, Clock
from refresher.words import duration

NOTICEABLE = timedelta(seconds=5)
"""A Date header has whole seconds (RFC 9110, 6.6.1), and an answer may be three on its way: less could be nothing."""
BACKDATED = timedelta(seconds=30)
"""By so much Vault and OpenBao date certificates back (`not_before_duration`): beyond it, new ones aren't valid yet."""
UNSIGNED = timedelta(minutes=15)
"""S3 and AWS's token services refuse requests that are signed at a time further off (`RequestTimeTooSkewed`)."""


def source(asset: Asset, *, clock: Clock) -> Iterator[Observation]:
    """What the provider sees, and once the clock: of several sources, each one's. Raises what the provider does."""
    compared: set[str] = set()
    for observation in able.diagnosed(asset.provider):
        here = clock()
        yield observation
        whose = observation.source
        if observation.server_time and whose not in compared:
            compared.add(whose)
            found = skew(here, observation.server_time, asset)
            yield replace(found, of=f"{whose}: {found.of}", source=whose) if whose else found


def skew(here: datetime, there: datetime, asset: Asset) -> Observation:
    """What the difference between two clocks means for this asset."""
    difference = abs(here - there)
    bound = BACKDATED if any(named.name == "certificate" for named in asset.verifiers) else UNSIGNED
    side = "ahead of" if here > there else "behind"
    seen = f"this clock is {duration(difference)} {side} the server's"
    advice = "Set the clocks right (NTP), here and there."
    if difference > bound:
        means = "certificates are judged wrongly" if bound is BACKDATED else "requests that are signed, as to S3, fail"
        return Observation.fail("clock", f"{seen}: beyond {duration(bound)} {means}", advice)
    if difference > NOTICEABLE:
        return Observation.warn("clock", seen, advice)
    return Observation.ok("clock", f"within {NOTICEABLE.total_seconds():g} s of the server's")
