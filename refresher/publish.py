"""Publishing: a verified candidate becomes the generation that readers see, whole, at once, durably.

The steps, in this order, because a crash can come between any two:

 1. stage into `incoming-…` on the same file system           (`stage`)
 2. fsync every file, then the directories                    (`durable`)
 3. lock the asset's directory                                (`cycle`, by `Store.locked`)
 4. write the manifest inside                                 (`Store.keep`)
 5. rename to the generation's number, fsync the parent       (`Store.keep`)
 6. make the user links that are missing                      (`Layout.show`)
 7. swap `..data` by a uniquely named temporary link          (`Layout.show`)
 8. remove user links that lead nowhere now, fsync            (`Layout.show`)
 9. close or prune what is retired, after its grace           (`recovery.tidy`)

What the next start finds after a crash at each of them, and does about it, is in `recovery`.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime

from refresher.errors import PermanentError, RefresherError
from refresher.incoming import Incoming
from refresher.ledger import mark_of
from refresher.model import Asset, Clock, Generation, Verified
from refresher.place import Place
from refresher.store import LARGEST
from refresher.volume import explained


def publish(verified: Verified, *, incoming: Incoming, asset: Asset, place: Place, clock: Clock) -> Generation:
    """Steps 4 to 8, under the lock. Raises TransientError or PermanentError with the old generation still visible."""
    candidate, lease = verified.candidate, verified.candidate.fetched.lease
    generation = Generation(
        asset=asset.name,
        number=next_number(place),
        revision=candidate.fetched.revision,
        digest=candidate.digest,
        files=candidate.files,
        source=asset.source,
        checks=asset.checks,
        minted=candidate.fetched.minted,
        fetched_at=candidate.now,
        published_at=clock(),
        valid_from=verified.valid_from,
        expires_at=verified.expires_at,
        leased_until=lease.expires_at if lease else None,
        lease=mark_of(lease) if lease else "",
    )
    with explained(asset.directory):
        place.layout.admit(generation.files)
        # (4) (5)
        place.store.keep(incoming, generation, fsync=asset.publish.fsync)
        # (6) (7) (8)
        with _dropped_unless_shown(generation, place):
            show(generation, place, now=clock())
    return generation


def show(generation: Generation, place: Place, *, now: datetime) -> None:
    """Lead readers to a kept generation; the one they leave is retired from now on."""
    previous = place.layout.visible()
    # Before the swap, though it is visible still: a crash in between would let the grace count from its creation.
    if previous is not None and previous != generation.number:
        place.store.retire(previous, now=now)
    place.layout.show(generation)


@contextlib.contextmanager
def _dropped_unless_shown(generation: Generation, place: Place) -> Iterator[None]:
    previous = place.current()
    try:
        yield
    except (OSError, RefresherError):
        # A disk that is full at this point is full at the next try too, and each would leave a generation behind.
        if place.layout.visible() != generation.number:
            place.store.drop(generation.number)
            if previous:
                place.layout.show(previous)
            else:
                place.layout.show_nothing()
        raise


def next_number(place: Place) -> int:
    """Numbers only rise, also after a rollback and after the newest generations were pruned."""
    number = max(place.store.ledger().last_generation, place.layout.highest(), *place.store.numbers(), 0) + 1
    if number > LARGEST:
        raise PermanentError(f"{place.store.directory.path.parent} shows a number that refresher never gave: remove it")
    return number
