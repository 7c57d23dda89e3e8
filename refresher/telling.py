"""Telling the app of what is visible, and obeying if it can't use that. What follows a refresh, and never leads back.

It may be killed anywhere and called again, as a refresh may: who was told what is in the ledger.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from refresher import notify
from refresher.errors import RefresherError
from refresher.ledger import Holding
from refresher.model import Asset, Clock, NamedNotifier, Outcome
from refresher.notify import Telling
from refresher.place import Place, opened
from refresher.rollback import obeyed
from refresher.volume import explained

log = logging.getLogger("refresher")


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a telling, and what is held after it; `rolled_back` if the app refused it and had it put back."""

    telling: Telling
    holding: Holding
    rolled_back: Outcome | None = None


def tell(named: NamedNotifier, assets: Sequence[Asset], *, clock: Clock) -> Iterator[Told]:
    """Have one notifier tell of those of its assets of which it hasn't told; one attempt for all of them together.

    An answer that the app can't use it leads back to the previous generation where the configuration says so. An asset
    whose place on the volume can't be used is left out; the others are told of.
    """
    with ExitStack() as places:
        opened_places = [(asset, _opened(asset, places)) for asset in assets]
        owed = [
            (asset, place, holding)
            for asset, place in opened_places
            if place and notify.is_owed(named, holding := place.holding())
        ]
        tellings = _tellings([(asset, holding) for asset, _, holding in owed], named, clock)
        for asset, place, _ in owed:
            try:
                told = _told(asset, place, named, tellings[asset.name], clock)
            except RefresherError as error:
                _warn(asset, error)
            else:
                yield told


def _opened(asset: Asset, places: ExitStack) -> Place | None:
    try:
        return places.enter_context(opened(asset))
    except RefresherError as error:
        _warn(asset, error)
        return None


def _warn(asset: Asset, error: RefresherError) -> None:
    """One asset's trouble with the volume must not silence the others."""
    log.warning("%s: %s", asset.name, error, extra={"asset": asset.name, "step": "notify"})


def _tellings(owed: list[tuple[Asset, Holding]], named: NamedNotifier, clock: Clock) -> dict[str, Telling]:
    first = {
        asset.name for asset, holding in owed if not _initial(asset, named) and named.key not in holding.ledger.told
    }
    changes = [notify.change_of(asset, holding) for asset, holding in owed]
    tellings = [notify.left_out(named, change, now=clock()) for change in changes if change.asset in first]
    wanted = [change for change in changes if change.asset not in first]
    tellings += notify.tell(named, wanted, now=clock()) if wanted else []
    return {telling.asset: telling for telling in tellings}


def _initial(asset: Asset, named: NamedNotifier) -> bool:
    return next(one.initial for one in asset.notifiers if one.key == named.key)


def _told(asset: Asset, place: Place, named: NamedNotifier, telling: Telling, clock: Clock) -> Told:
    """Write down what was told, before anything else can happen; and obey, if it was refused."""
    if telling.told is None:
        return Told(telling, place.holding())
    with explained(asset.directory), place.store.locked():
        ledger = place.store.ledger().with_told(named.key, telling.told)
        place.store.remember(ledger, fsync=asset.publish.fsync)
        rolled_back = obeyed(asset, place, clock)
        return Told(telling, place.holding(), rolled_back)
