"""Publishing: a verified candidate becomes the generation that readers see, whole, at once, durably.

The steps, in this order, because a crash can come between any two:

 1. lock the asset's directory                               (`cycle`, by `Store.locked`)
 1. stage into `incoming-…` on the same file system           (`stage`)
 3. fsync every file, then the directories
 4. write the manifest inside                                 (`Store.keep`)
 5. rename to the generation's number, fsync the parent        (`Store.keep`)
 6. make the user links that are missing                       (`Layout.show`)
 7. swap `..data` by a uniquely named temporary link             (`Layout.show`)
 8. remove user links that lead nowhere now, fsync             (`Layout.show`)
 9. close or prune what is retired, after its grace              (`recovery.tidy`)

What the next start finds after a crash at each of them, and does about it, is in `recovery`.
"""

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from refresher.errors import PermanentError, RefresherError
from refresher.incoming import Incoming
from refresher.model import Asset, Clock, Generation, Verified
from refresher.place import Place
from refresher.store import LARGEST
from refresher.volume import Directory, explained

TOGETHER = 256
"""Files whose writing is begun before the first of them is waited for: a thousand were durable in 0.62 s so, in 0.73 s
one after the other, and in 0.62 s by `syncfs`, which would wait for everybody else's files on the disk, too.
"""


MANY = 16
"""Files from which on it is worth while to wait for the disk in several threads."""


def publish(verified: Verified, *, incoming: Incoming, asset: Asset, place: Place, clock: Clock) -> Generation:
    """Steps 3 to 8. Raises TransientError or PermanentError with the old generation still visible."""
    candidate = verified.candidate
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
        leased_until=candidate.fetched.lease.expires_at if candidate.fetched.lease else None,
    )
    with explained(asset.directory):
        place.layout.admit(generation.files)
        # (3)
        if asset.publish.fsync:
            _fsync_tree(incoming.files)
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


def _fsync_tree(directory: Directory) -> None:
    files = []
    for name in directory.names():
        if directory.is_directory(name):
            with directory.child(name) as child:
                _fsync_tree(child)
        else:
            files.append(name)
    for start in range(0, len(files), TOGETHER):
        _fsync_files(files[start : start + TOGETHER], directory)
    directory.fsync()


def _fsync_files(names: list[str], directory: Directory) -> None:
    with contextlib.ExitStack() as opened:
        fds = [opened.enter_context(directory.open(name)).fileno() for name in names]
        for fd in fds:
            # Not to need a page that is dirty begins its writing; a link's pages may be what the app reads now.
            if os.fstat(fd).st_nlink == 1:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        if len(fds) < MANY:
            for fd in fds:
                os.fsync(fd)
        else:
            # Each waits for the disk: together they wait once, more or less.
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(os.fsync, fds))
