"""Going back to an earlier kept generation. A swap of links needs no disk space, so it works on a full disk."""

from dataclasses import replace
from datetime import datetime

from refresher.errors import PermanentError
from refresher.ledger import Ledger
from refresher.model import Asset, Generation
from refresher.place import Place
from refresher.publish import show
from refresher.recovery import is_whole
from refresher.volume import explained


def roll_back(asset: Asset, place: Place, *, to: int | None, pin: bool, now: datetime) -> Generation:
    """Show the kept generation `to` again (None: the newest before the visible that wasn't refused); under the lock.

    Raises PermanentError if it isn't kept, isn't whole or has expired: the visible one stays then.
    """
    ledger = place.holding().ledger
    generation = _earlier(asset, place, ledger) if to is None else _kept(place, to)
    lease = ledger.lease_of(generation.number)
    if (replace(generation, leased_until=lease.expires_at) if lease else generation).expired(now):
        raise PermanentError(f"generation {generation.number} of {asset.name} has expired")
    with explained(asset.directory):
        if not is_whole(generation, place):
            raise PermanentError(f"generation {generation.number} of {asset.name} is damaged")
        place.store.reopen(generation.number)
        _forget_newer(asset, place, ledger, shown=generation.number, pin=pin)
        show(generation, place, now=now)
    return generation


def _kept(place: Place, number: int) -> Generation:
    generation = place.store.generation(number)
    if generation is None:
        raise PermanentError(f"generation {number} is not kept")
    return generation


def _earlier(asset: Asset, place: Place, ledger: Ledger) -> Generation:
    """The newest that can be read and wasn't refused; the visible one itself may be damaged."""
    below = place.layout.visible() or ledger.shown or 0
    kept = (place.store.generation(number) for number in reversed(place.store.numbers()) if number < below)
    for generation in filter(None, kept):
        if ledger.refusal(revision="", digest=generation.digest, checks=asset.checks) is None:
            return generation
    raise PermanentError("there is no earlier generation to go back to")


def _forget_newer(asset: Asset, place: Place, ledger: Ledger, *, shown: int, pin: bool) -> None:
    """Before the flip: a telling of the newer generation may be under way, so everybody is told again afterwards."""
    visible = place.layout.visible() or 0
    ledger = replace(
        replace(ledger.retiring(ledger.lease, generation=visible), lease=None).showing(shown),
        # The keys stay: to a notifier without one, this would be a first generation, which may be left out.
        told={key: replace(told, generation=0, refused=None) for key, told in ledger.told.items()},
        pinned=shown if pin or ledger.pinned is not None else None,
        last_generation=max(ledger.last_generation, visible),
    )
    place.store.remember(ledger, fsync=asset.publish.fsync)
