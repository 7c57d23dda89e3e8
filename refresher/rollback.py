"""Going back to an earlier kept generation, by hand or because the app can't use the visible one.

A swap of links needs no disk space, so it works on a full disk.
"""

import logging
from dataclasses import replace
from datetime import datetime

from refresher.errors import PermanentError
from refresher.ledger import Holding, Ledger, Refreshed, Refusal
from refresher.model import Asset, Clock, Generation, OnReject, Outcome, Result
from refresher.place import Place, opened
from refresher.publish import show
from refresher.recovery import is_whole
from refresher.volume import explained

log = logging.getLogger("refresher")


def go_back(asset: Asset, *, to: int | None, clock: Clock) -> Refreshed:
    """Put the kept generation `to` (None: the one before) back by hand, and pin it.

    Raises PermanentError if that generation can't be used, TransientError if the volume can't be written to now.
    """
    with opened(asset) as place, place.store.locked():
        outcome = _rolled_back(asset, place, to=to, pin=True, clock=clock, error=None)
        return Refreshed(outcome, place.holding())


def unpin(asset: Asset) -> Holding:
    """Follow the source again. Raises RefresherError if the volume can't be written to."""
    with opened(asset) as place, place.store.locked():
        holding = place.holding()
        ledger = replace(holding.ledger, pinned=None)
        with explained(asset.directory):
            place.store.remember(ledger, fsync=asset.publish.fsync)
        return replace(holding, ledger=ledger)


def obey(asset: Asset, *, clock: Clock) -> Refreshed | None:
    """Put the previous generation back if the app refused the visible one, and a kill came in between."""
    with opened(asset) as place, place.store.locked():
        outcome = obeyed(asset, place, clock)
        return Refreshed(outcome, place.holding()) if outcome else None


def obeyed(asset: Asset, place: Place, clock: Clock) -> Outcome | None:
    """If the app said that it can't use the visible generation, put the previous one back; under the lock.

    From what is written down, so that a start obeys what a killed sidecar had heard.
    """
    holding = place.holding()
    current, answer = holding.current, holding.refused
    if current is None or answer is None or asset.on_reject is OnReject.KEEP:
        return None
    reason = f"the app: {answer}"
    refusal = Refusal(revision=current.revision, digest=current.digest, checks=asset.checks, reason=reason)
    place.store.remember(holding.ledger.with_refusal(refusal), fsync=asset.publish.fsync)
    try:
        return _rolled_back(asset, place, to=None, pin=False, clock=clock, error=reason)
    except PermanentError as error:
        sentence = "%s: the app refused generation %d, and it stays: %s"
        log.warning(sentence, asset.name, current.number, error, extra={"asset": asset.name})
        return None


def _rolled_back(asset: Asset, place: Place, *, to: int | None, pin: bool, clock: Clock, error: str | None) -> Outcome:
    started_at = clock()
    generation = roll_back(asset, place, to=to, pin=pin, now=started_at)
    return Outcome(
        asset=asset.name,
        result=Result.ROLLED_BACK,
        started_at=started_at,
        finished_at=clock(),
        generation=generation.number,
        revision=generation.revision,
        error=error,
    )


def roll_back(asset: Asset, place: Place, *, to: int | None, pin: bool, now: datetime) -> Generation:
    """Show the kept generation `to` again (None: the newest before the visible that wasn't refused); under the lock.

    Raises PermanentError if it isn't kept, isn't whole or has expired: the visible one stays then.
    """
    ledger = place.holding().ledger
    generation = _earlier(asset, place, ledger) if to is None else _kept(place, to)
    lease = ledger.lease_of(generation)
    if (replace(generation, leased_until=lease.expires_at) if lease else generation).expired(now):
        raise PermanentError(f"generation {generation.number} of {asset.name} has expired")
    with explained(asset.directory):
        if not is_whole(generation, place):
            raise PermanentError(f"generation {generation.number} of {asset.name} is damaged")
        place.store.reopen(generation.number)
        _forget_newer(asset, place, ledger, shown=generation, pin=pin)
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


def _forget_newer(asset: Asset, place: Place, ledger: Ledger, *, shown: Generation, pin: bool) -> None:
    """Before the flip: a telling of the newer generation may be under way, so everybody is told again afterwards."""
    visible = place.layout.visible() or 0
    ledger = replace(
        replace(ledger.retiring(ledger.lease, generation=visible), lease=None).showing(shown),
        # The keys stay: to a notifier without one, this would be a first generation, which may be left out.
        told={key: replace(told, generation=0, refused=None) for key, told in ledger.told.items()},
        pinned=shown.number if pin or ledger.pinned is not None else None,
        last_generation=max(ledger.last_generation, visible),
    )
    place.store.remember(ledger, fsync=asset.publish.fsync)
