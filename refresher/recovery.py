"""What a start finds on the volume after a stop, a kill or a power cut, and what it does about it.

| died after step | found | done |
| --- | --- | --- |
| 2 to 4 | `incoming-…` | swept |
| 5, 6 | a generation that was never visible | pruned: its source is asked again |
| 7 | new content visible, stale links perhaps, nobody told | links repaired; the ledger says who hasn't been told |
| telling | told of 6 while 7 is visible | told of 7, perhaps again |

Nothing here removes or changes what readers see, unless it is broken.
"""

import hashlib
from datetime import datetime

from refresher.errors import PermanentError
from refresher.ledger import Ledger
from refresher.model import Asset, FilesOnDisk, Generation
from refresher.place import Place
from refresher.volume import explained

_CHUNK = 1024 * 1024


def recover(asset: Asset, place: Place) -> Generation | None:
    """Sweep leftovers, prune what was never visible, repair the links; under the lock.

    Answers the visible generation; None if there is none, or if it isn't whole.
    """
    with explained(asset.directory):
        place.store.sweep()
        current = place.current()
        _prune_unseen(place, current)
        if current is None or not is_whole(current, place):
            return None
        place.layout.show(current)
        return current


def is_whole(generation: Generation, place: Place) -> bool:
    """Whether each file is there with the content that was verified."""
    try:
        with place.files(generation) as files:
            return all(_digest(files, name) == staged.digest for name, staged in generation.files.items())
    except (OSError, PermanentError):
        return False


def tidy(asset: Asset, place: Place, *, now: datetime) -> datetime | None:
    """Step 9: close what is retired once its grace is over, and prune all but the newest `keep`.

    Answers when there is something to do again. The grace comes before `keep`: a reader that opened the old generation
    can finish reading it.
    """
    visible = place.layout.visible()
    retired = [number for number in reversed(place.store.numbers()) if number != visible]
    pinned = place.store.ledger().pinned
    later: list[datetime] = []
    with explained(asset.directory):
        for rank, number in enumerate(retired, 2):
            over_at = place.store.retired_at(number) + asset.publish.grace
            if now < over_at:
                later.append(over_at)
            elif rank > asset.publish.keep and number != pinned:
                place.layout.withdraw(number)
                place.store.drop(number)
            else:
                place.layout.withdraw(number)
                place.store.close(number)
    return min(later, default=None)


def _prune_unseen(place: Place, current: Generation | None) -> None:
    known = _last_seen(place.store.ledger(), current)
    for number in place.store.numbers():
        if number > known:
            place.store.drop(number)


def _last_seen(ledger: Ledger, current: Generation | None) -> int:
    return max(ledger.last_generation, current.number if current else 0)


def _digest(files: FilesOnDisk, name: str) -> str:
    digest = hashlib.sha256()
    with files.open(name) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
