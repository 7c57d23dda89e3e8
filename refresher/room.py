"""Room on the volume for what is to come."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from refresher.errors import TransientError
from refresher.model import Asset, Clock
from refresher.place import Place
from refresher.recovery import expendable
from refresher.volume import explained, is_full


def require_room(needed: int, *, asset: Asset, place: Place, clock: Clock) -> None:
    """See to it that `needed` bytes can be written: where the configuration allows it, by giving kept generations up.

    Raises TransientError if there is no room. The visible generation, a pinned one, and what a reader may still have
    open, stay.
    """
    with explained(asset.directory):
        if needed > place.store.directory.free_bytes() and asset.publish.make_room:
            _give_up_kept(needed, asset, place, clock())
        free = place.store.directory.free_bytes()
    if needed > free:
        message = f"no room: {needed} bytes to fetch and {free} free on the volume{_advice(asset, place)}"
        raise TransientError(message) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def giving_way(asset: Asset, place: Place, clock: Clock) -> Iterator[None]:
    """If the volume is full midway, give one kept generation up for the next attempt, where that is allowed.

    For archives, and files that don't say how long they are: nobody knew how much room they need.
    """
    try:
        yield
    except TransientError as error:
        if is_full(error.__cause__) and asset.publish.make_room:
            with explained(asset.directory), place.store.locked():
                for number in expendable(asset, place, now=clock())[-1:]:
                    place.store.drop(number)
        raise


def _advice(asset: Asset, place: Place) -> str:
    if len(place.store.numbers()) < 2:
        return ""
    if asset.publish.make_room:
        return "; what is kept is pinned, or still in its grace"
    return "; with publish.make_room, kept generations would give way"


def _give_up_kept(needed: int, asset: Asset, place: Place, now: datetime) -> None:
    with place.store.locked():
        for number in reversed(expendable(asset, place, now=now)):
            if needed <= place.store.directory.free_bytes():
                break
            place.store.drop(number)
