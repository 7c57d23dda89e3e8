"""One refresh of one asset: fetch, stage, verify, publish, remember. Open this file first.

`refresh` is the main line, and `telling.tell` what follows it; below it stands what else is done to an asset's place:
recovering at a start, tidying, ending leases; `rollback` is the way back. All that they know comes from the volume and
from the source, so that they can be killed anywhere and called again.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from refresher import able, leases
from refresher.attempt import Attempt
from refresher.contract import Fetched, FileSet, Unchanged
from refresher.durable import make_durable
from refresher.errors import RefresherError
from refresher.incoming import Incoming
from refresher.kept import Kept
from refresher.ledger import Holding, Refreshed, Retired
from refresher.model import Asset, Candidate, Clock, Generation, Outcome, Result, Verified, Wish
from refresher.place import Place, opened
from refresher.publish import next_number, publish
from refresher.recovery import recover
from refresher.recovery import tidy as tidy_place
from refresher.room import giving_way, require_room
from refresher.stage import journal, stage
from refresher.traffic import Progress
from refresher.verify import verify


def refresh(
    asset: Asset,
    *,
    wish: Wish,
    clock: Clock,
    progress: Progress | None = None,
    answered: Callable[[], object] = lambda: None,
    alone: Callable[[], object] = lambda: None,
) -> Refreshed:
    """Bring the asset up to date. Every way in which it can end is an Outcome, and only `published` changes a file.

    Fetching takes as long as the source takes, and locks nothing: meanwhile the app can be told, and an earlier
    generation put back. `answered` is called once the source has said what there is, before any of it is transferred;
    `alone` before anything is touched that others touch, too.
    """
    attempt = Attempt(asset=asset, wish=wish, clock=clock, progress=progress or Progress(), answered=answered)
    with attempt.concluded(), opened(asset) as place, ExitStack() as until_published:
        attempt.look(place)
        arrived = None
        with attempt.concluded(), attempt.giving_back():
            arrived = _arrived(attempt, place, until_published)
        alone()
        with _given_back(attempt), place.store.locked():
            attempt.look(place)
            if arrived:
                with attempt.concluded():
                    attempt.outcome = _publish(arrived, attempt, place)
            elif isinstance(attempt.answer, Unchanged) or attempt.is_pinned():
                place.store.sweep_incoming()
            attempt.remember(place)
    assert attempt.outcome is not None  # noqa: S101 - `concluded` leaves an outcome behind every error
    return Refreshed(attempt.outcome, attempt.holding)


@contextmanager
def _given_back(attempt: Attempt) -> Iterator[None]:
    """End what came with a lease at once: who doesn't get to write can't note it for later either."""
    try:
        yield
    except RefresherError:
        if lease := attempt.new_lease:
            leases.end(Retired(generation=0, lease=lease), attempt.asset, now=attempt.clock())
        raise


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came, and may be published in place of `before`."""

    verified: Verified
    incoming: Incoming
    before: Generation | None


def _arrived(attempt: Attempt, place: Place, until_published: ExitStack) -> Arrived | None:
    """Fetch, stage, verify, make durable; None, and an outcome, if there is nothing to publish."""
    if attempt.is_pinned() or attempt.is_settled():
        attempt.outcome = attempt.ended(Result.UNCHANGED)
        return None
    before = attempt.current
    fetched = _fetch(attempt, place, until_published)
    if fetched is None:
        return None
    candidate, incoming = fetched
    attempt.refuse_known(candidate.fetched.revision, digest=candidate.digest)
    if before and attempt.is_current(candidate):
        attempt.outcome = attempt.seen_again(candidate, before)
        return None
    with attempt.step("verify"), attempt.refusing(candidate.fetched, digest=candidate.digest):
        verified = verify(candidate, attempt.asset.verifiers)
    with attempt.step("publish"):
        if attempt.asset.publish.fsync:
            make_durable(incoming.files)
    # All has come, and somebody else may keep the lock for too long.
    until_published.enter_context(incoming.resumable())
    return Arrived(verified, incoming, before)


def _fetch(attempt: Attempt, place: Place, until_published: ExitStack) -> tuple[Candidate, Incoming] | None:
    """Ask the source, and stage what it has; None, and an outcome, if that is what is held."""
    shown = until_published.enter_context(attempt.shown(place))
    provider = able.building_on(attempt.asset.provider, shown)
    with ExitStack() as until_fetched, attempt.step("fetch"), provider.fetch(attempt.held()) as answer:
        attempt.hear(answer)
        if isinstance(answer, Unchanged):
            attempt.outcome = attempt.unchanged(answer)
            return None
        attempt.renewed(answer)
        attempt.refuse_known(answer.revision, digest=None)
        with place.store.locked():
            incoming = until_published.enter_context(place.store.incoming(journal(answer, attempt.asset)))
        # Outside of the fetch, which may still fail as it ends: its source has changed midway.
        until_fetched.enter_context(incoming.resumable())
        return _stage(answer, incoming, shown, attempt, place), incoming


def _stage(answer: Fetched, incoming: Incoming, shown: FileSet | None, attempt: Attempt, place: Place) -> Candidate:
    asset, clock = attempt.asset, attempt.clock
    refusing, making_room = attempt.refusing(answer, digest=""), giving_way(asset, place, clock)
    with attempt.step("stage"), refusing, making_room, Kept(asset, place) as copies:
        return stage(
            answer,
            into=incoming,
            asset=asset,
            copies=copies,
            require_room=partial(require_room, asset=asset, place=place, clock=clock),
            progress=attempt.progress,
            published=shown,
            clock=clock,
        )


def _publish(arrived: Arrived, attempt: Attempt, place: Place) -> Outcome:
    verified, incoming, candidate = arrived.verified, arrived.incoming, arrived.verified.candidate
    if attempt.is_pinned():
        return attempt.pinned_meanwhile()
    if attempt.current and attempt.is_current(candidate) and candidate.fetched.lease is None:
        # Another refresher, an init container say, was faster with the same.
        return attempt.seen_again(candidate, attempt.current)
    with attempt.step("publish"), incoming.resumable():
        with attempt.giving_back():
            attempt.require_same(arrived.before)
            number = next_number(place)
        attempt.expect(candidate.fetched.lease, place, number=number)
        generation = publish(verified, incoming=incoming, asset=attempt.asset, place=place, clock=attempt.clock)
    return attempt.published(generation, candidate)


def begin(asset: Asset) -> Holding:
    """Recover what a stop or a kill left on the volume. What is held is used, if it is whole."""
    with opened(asset) as place, place.store.locked():
        return place.holding_of(recover(asset, place))


def tidy(asset: Asset, *, clock: Clock) -> datetime | None:
    """Close and prune what is retired, once its grace is over; when to do so again."""
    with opened(asset) as place, place.store.locked():
        return tidy_place(asset, place, now=clock())


def release(asset: Asset, *, clock: Clock) -> datetime | None:
    """End the leases that nobody needs any more; when to do so again."""
    with opened(asset) as place, place.store.locked():
        over, again_at = leases.over(asset, place, now=clock())
    # Not under the lock: the source may not answer for as long as it likes.
    ended = [retired for retired in over[: leases.MOST_AT_ONCE] if leases.end(retired, asset, now=clock())]
    if not over:
        return again_at
    with opened(asset) as place, place.store.locked():
        leases.forget(ended, asset, place)
    return again_at if ended == over else clock() + leases.AGAIN
