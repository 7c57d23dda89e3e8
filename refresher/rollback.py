"""Going back to an earlier kept generation. A swap of links needs no disk space, so it works on a full disk."""

from dataclasses import replace
from datetime import datetime

from refresher.errors import PermanentError
from refresher.model import Asset, Generation
from refresher.place import Place
from refresher.publish import show
from refresher.recovery import is_whole
from refresher.volume import explained


def roll_back(asset: Asset, place: Place, *, to: int | None, pin: bool, now: datetime) -> Generation:
    """Show the kept generation `to` (None: the newest one before the visible) again; under the lock.

    Raises PermanentError if it isn't kept, isn't whole or has expired: the visible one stays then.
    """
    current = place.current()
    generation = _chosen(place, current, to)
    if generation.expired(now):
        raise PermanentError(f"generation {generation.number} of {asset.name} has expired")
    with explained(asset.directory):
        if not is_whole(generation, place):
            raise PermanentError(f"generation {generation.number} of {asset.name} is damaged")
        place.store.reopen(generation.number)
        _forget_told(asset, place, shown=generation.number, pin=pin)
        show(generation, place, now=now)
    return generation


def _chosen(place: Place, current: Generation | None, to: int | None) -> Generation:
    below = current.number if current else 0
    number = max((kept for kept in place.store.numbers() if kept < below), default=None) if to is None else to
    generation = place.store.generation(number) if number is not None else None
    if generation is None:
        raise PermanentError(
            "there is no earlier generation to go back to" if to is None else f"generation {to} is not kept"
        )
    return generation


def _forget_told(asset: Asset, place: Place, *, shown: int, pin: bool) -> None:
    """Before the flip: a telling of the newer generation may be under way, so everybody is told again afterwards."""
    ledger = place.store.ledger()
    last = max(ledger.last_generation, place.layout.visible() or 0)
    ledger = replace(ledger, told={}, shown=shown, pinned=shown if pin else None, last_generation=last)
    place.store.remember(ledger, fsync=asset.publish.fsync)
