"""Leases that nobody needs any more: ended at the source, once the app has heard of what came after them.

A retired lease is over when the app has heard of what is visible, and the grace after that is over too; at once, if it
ran out or no reader ever saw its content. Until then its generation can be put back; then the generation is dropped
first, so that nobody can go back to credentials that don't work any more, and the lease is ended after that. Killed in
between, the ledger still names the lease.
"""

import logging
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from refresher.abilities import Revoking
from refresher.bug import places_of
from refresher.errors import RefresherError, TransientError
from refresher.ledger import Holding, Retired, mark_of
from refresher.model import Asset
from refresher.place import Place
from refresher.renewal import later
from refresher.volume import explained

AGAIN = timedelta(seconds=30)
"""Before a source is asked again to end a lease, and before an app that hasn't heard is looked at again."""

MOST_AT_ONCE = 100
"""Leases ended in a row; whoever can write into the volume could else have the source asked without a pause."""

log = logging.getLogger("refresher")


def over(asset: Asset, place: Place, *, now: datetime) -> tuple[list[Retired], datetime | None]:
    """The leases to end now, their generations dropped; and when there may be more. Under the lock."""
    holding = place.holding()
    current = holding.current.number if holding.current else None
    retired = [each for each in holding.ledger.retired if each.generation != current]
    unseen = [each for each in retired if not _was_seen(each, holding, place)]
    _drop(unseen, asset, place)
    useless = [each for each in retired if each in unseen or each.lease.expires_at <= now]
    if current is None or len(useless) == len(retired):
        return useless, None
    heard_at = _heard_at(asset, holding)
    over_at = later(heard_at, asset.publish.grace) if heard_at else now + AGAIN
    if now < over_at:
        return useless, over_at
    _drop(retired, asset, place)
    return retired, None


def _drop(ended: Collection[Retired], asset: Asset, place: Place) -> None:
    """Remove their generations, where they are still kept."""
    with explained(asset.directory):
        for number in place.store.numbers():
            if any(_is_of(each, number, place) for each in ended):
                place.layout.withdraw(number)
                place.store.drop(number)


def _is_of(retired: Retired, number: int, place: Place) -> bool:
    """Whether the generation needs that lease: the last one that came with it, or one before, of several sources."""
    if number >= retired.generation:
        return number == retired.generation
    generation = place.store.generation(number)
    return generation is not None and generation.lease == mark_of(retired.lease)


def _was_seen(retired: Retired, holding: Holding, place: Place) -> bool:
    """Whether readers can have been led to it; what they never saw is of no use to anybody."""
    return 0 < retired.generation <= max(holding.ledger.last_generation, place.layout.visible() or 0)


def end(retired: Retired, asset: Asset, *, now: datetime) -> bool:
    """Ask the source to end the lease; whether it can be forgotten."""
    provider = asset.provider
    if not isinstance(provider, Revoking) or retired.lease.over_at <= now:
        return True
    try:
        provider.revoke(retired.lease)
    except RefresherError as error:
        log.warning("%s: a lease was not ended: %s", asset.name, error, extra={"asset": asset.name, "step": "release"})
        return not isinstance(error, TransientError)
    except Exception as error:  # noqa: BLE001 - a plugin's bug must not stop the schedule
        log.error("%s: a bug, %s", asset.name, places_of(error), extra={"asset": asset.name})  # noqa: TRY400
    return True


def forget(ended: Collection[Retired], asset: Asset, place: Place) -> None:
    """Write down that these leases are no more; under the lock."""
    ledger = place.holding().ledger
    left = tuple(retired for retired in ledger.retired if retired not in ended)
    with explained(asset.directory):
        place.store.remember(replace(ledger, retired=left), fsync=asset.publish.fsync)


def _heard_at(asset: Asset, holding: Holding) -> datetime | None:
    """Since when the app knows what is visible, and uses it; None if it doesn't yet."""
    current = holding.current
    if current is None or holding.refused is not None:
        return None
    moments = [current.published_at]
    for named in asset.notifiers:
        told = holding.ledger.told.get(named.key)
        if told is None or told.generation != current.number:
            return None
        moments.append(told.at)
    return max(moments)
