"""What a start finds on the volume after a stop, a kill or a power cut, and what it does about it.

| died after step | found | done |
| --- | --- | --- |
| 1 to 4 | `incoming-…` | swept, unless it is a transfer that can go on |
| 5, 6 | a generation that was never visible | pruned: its source is asked again |
| 7 | new content visible, stale links perhaps, nobody told | links repaired; the ledger says who hasn't been told |
| telling | told of 6 while 7 is visible | told of 7, perhaps again |
| a rollback, before 7 | a pin on 6 while 7 is visible | the pin is taken off: that rollback never happened |

What readers see is never removed. If it is damaged, it isn't believed any more, and is fetched anew.
"""

import contextlib
import errno
import hashlib
import os
import stat
from dataclasses import replace
from datetime import datetime

from refresher.errors import RefresherError
from refresher.model import Asset, FilesOnDisk, Generation, digest_of
from refresher.place import Place
from refresher.rereading import pieces
from refresher.volume import explained

DAMAGE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EIO})
"""What the system says of a file that isn't there as it was published; the rest may be the system's own trouble."""


def recover(asset: Asset, place: Place) -> Generation | None:
    """Sweep leftovers, prune what was never visible, repair the links; under the lock.

    Answers the visible generation; None if there is none, or if it isn't whole.
    """
    with explained(asset.directory):
        place.store.sweep(source=asset.source)
        place.store.set_aside()
        _prune_unseen(place)
        current = place.current() or _shown_last(place)
        if current is None:
            _clear(place)
            return None
        if not is_whole(current, place):
            place.store.quarantine(current.number)
            return None
        place.store.reopen(current.number)
        _restore_modes(current, place)
        place.layout.show(current)
        _settle_pin(asset, place, current)
        return current


def is_whole(generation: Generation, place: Place) -> bool:
    """Whether each file is there with the content that was verified. OSError if that can't be known now."""
    if generation.digest != digest_of(generation.files):
        return False
    try:
        with place.files(generation) as files:
            return all(_digest(files, name) == staged.digest for name, staged in generation.files.items())
    except RefresherError:
        return False
    except OSError as error:
        # Too many open files, or no right to read: no reason to fetch everything again.
        if error.errno not in DAMAGE:
            raise
        return False


def tidy(asset: Asset, place: Place, *, now: datetime) -> datetime | None:
    """Step 9: close what is retired once its grace is over, and prune all but the best `keep`.

    Answers when there is something to do again. The grace comes before `keep`: a reader that opened the old generation
    can finish reading it.
    """
    visible = place.layout.visible()
    if visible is None:
        # Somebody removed the link: what looks retired may be what it has to lead to again.
        return None
    pinned = place.store.ledger().pinned
    later: list[datetime] = []
    with explained(asset.directory):
        for rank, number in enumerate(_retired(place, visible), 2):
            over_at = _over_at(number, asset, place, now)
            if now < over_at:
                later.append(over_at)
                continue
            place.layout.withdraw(number)
            if rank > asset.publish.keep and number != pinned:
                place.store.drop(number)
            else:
                place.store.close(number)
    return min(later, default=None)


def expendable(asset: Asset, place: Place, *, now: datetime) -> list[int]:
    """The generations that only a rollback would need, the best first; under the lock."""
    visible, pinned = place.layout.visible(), place.store.ledger().pinned
    if visible is None:
        return []
    return [n for n in _retired(place, visible) if n != pinned and _over_at(n, asset, place, now) <= now]


def _retired(place: Place, visible: int) -> list[int]:
    return _best_first(place, [number for number in place.store.numbers() if number != visible])


def _over_at(number: int, asset: Asset, place: Place, now: datetime) -> datetime:
    """When its grace is over."""
    return place.store.retired_at(number, now=now) + asset.publish.grace


def _best_first(place: Place, numbers: list[int]) -> list[int]:
    """The newest first, but what was refused or is damaged last: it must not push out the one to go back to."""
    refused = {refusal.digest for refusal in place.store.ledger().refused}

    def order(number: int) -> tuple[bool, int]:
        generation = place.store.generation(number)
        return (generation is None or generation.digest in refused, -number)

    return sorted(numbers, key=order)


def _restore_modes(current: Generation, place: Place) -> None:
    with place.files(current) as files:
        for name, staged in current.files.items():
            with files.directory.open_nested(name) as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != staged.mode:
                    os.fchmod(file.fileno(), staged.mode)


def _prune_unseen(place: Place) -> None:
    known = max(place.store.ledger().last_generation, place.layout.visible() or 0)
    for number in place.store.numbers():
        if number > known:
            place.store.drop(number)


def _shown_last(place: Place) -> Generation | None:
    """What readers saw, where somebody removed the link that led them to it."""
    shown = place.store.ledger().shown if place.layout.visible() is None else None
    return place.store.generation(shown) if shown else None


def _clear(place: Place) -> None:
    if place.layout.visible() is None:
        place.layout.show_nothing()


def _settle_pin(asset: Asset, place: Place, current: Generation) -> None:
    ledger = place.store.ledger()
    if ledger.pinned not in {None, current.number}:
        # What can't be written down on a full disk must not keep good files from being used.
        with contextlib.suppress(OSError):
            place.store.remember(replace(ledger, pinned=None), fsync=asset.publish.fsync)


def _digest(files: FilesOnDisk, name: str) -> str:
    sha256 = hashlib.sha256()
    with files.directory.open_nested(name) as file:
        for piece in pieces(file.fileno()):
            sha256.update(piece)
    return f"sha256:{sha256.hexdigest()}"
