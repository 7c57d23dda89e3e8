"""One refresh of one asset: fetch, stage, verify, publish, remember; and telling the app. Open this file first.

`refresh` is the main line, `tell` what follows it. All that they know comes from the volume and from the source, so
that they can be killed anywhere and called again.
"""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime

from refresher.attempt import Attempt
from refresher.contract import Unchanged
from refresher.errors import PermanentError
from refresher.ledger import Holding, Refusal
from refresher.model import Asset, Candidate, Clock, Generation, OnReject, Outcome, Result
from refresher.notify import Telling, untold
from refresher.notify import tell as tell_each
from refresher.place import Place, opened
from refresher.publish import publish
from refresher.recovery import recover
from refresher.recovery import tidy as tidy_place
from refresher.rollback import roll_back
from refresher.stage import stage
from refresher.store import Incoming
from refresher.verify import verify

log = logging.getLogger("refresher")


@dataclass(frozen=True, slots=True)
class Refreshed:
    """How a refresh ended, and what is held after it (None: the volume could not be used)."""

    outcome: Outcome
    holding: Holding | None


def refresh(asset: Asset, *, asked: bool, clock: Clock) -> Refreshed:
    """Bring the asset up to date. Every way in which it can end is an Outcome, and only `published` changes a file.

    `asked`: somebody wants it now, so that things made anew are made anew, and what was refused is tried again.
    """
    attempt = Attempt(asset=asset, asked=asked, clock=clock)
    with attempt.concluded(), opened(asset) as place, place.store.locked():
        attempt.look(place)
        with attempt.concluded():
            attempt.outcome = _refresh(attempt, place)
        attempt.remember(place)
    assert attempt.outcome is not None  # noqa: S101 - `concluded` leaves an outcome behind every error
    return Refreshed(attempt.outcome, attempt.holding)


def _refresh(attempt: Attempt, place: Place) -> Outcome:
    asset = attempt.asset
    if attempt.is_pinned():
        return attempt.ended(Result.UNCHANGED)
    with ExitStack() as until_published:
        with attempt.step("fetch"), asset.provider.fetch(attempt.held()) as answer:
            if isinstance(answer, Unchanged):
                return attempt.unchanged(answer)
            attempt.refuse_known(answer.revision, digest=None)
            incoming = until_published.enter_context(place.store.incoming())
            shown = until_published.enter_context(attempt.shown(place))
            with attempt.step("stage"), attempt.refusing(answer, digest=""):
                candidate = stage(answer, into=incoming.files, asset=asset, published=shown, clock=attempt.clock)
        return _publish(candidate, incoming, attempt, place)


def _publish(candidate: Candidate, incoming: Incoming, attempt: Attempt, place: Place) -> Outcome:
    attempt.refuse_known(candidate.fetched.revision, digest=candidate.digest)
    if attempt.current and attempt.is_current(candidate):
        return attempt.seen_again(candidate, attempt.current)
    with attempt.step("verify"), attempt.refusing(candidate.fetched, digest=candidate.digest):
        verified = verify(candidate, attempt.asset.verifiers)
    with attempt.step("publish"):
        generation = publish(verified, incoming=incoming, asset=attempt.asset, place=place)
    return attempt.published(generation, candidate)


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a telling, and what is held after it: the app may have had it rolled back."""

    tellings: list[Telling]
    holding: Holding


def tell(asset: Asset, *, clock: Clock) -> Told:
    """Tell everybody who hasn't been told of the visible generation, once each.

    An answer that the app can't use it leads back to the previous generation where the configuration says so. Raises
    RefresherError if the volume can't be used.
    """
    with opened(asset) as place:
        holding = place.holding()
        if holding.current is None or not untold(asset, holding.current, holding.ledger):
            return Told([], holding)
        tellings = []
        for telling in tell_each(asset, holding.current, holding.ledger, now=clock()):
            _remember_telling(asset, place, telling)
            tellings.append(telling)
        if asset.on_reject is OnReject.ROLLBACK and any(one.result == "rejected" for one in tellings):
            _go_back(asset, place, holding.current, tellings, clock)
        return Told(tellings, place.holding())


def begin(asset: Asset) -> Holding:
    """Recover what a stop or a kill left on the volume. What is held is used, if it is whole."""
    with opened(asset) as place, place.store.locked():
        whole = recover(asset, place)
        return Holding(current=whole, ledger=place.store.ledger())


def tidy(asset: Asset, *, clock: Clock) -> datetime | None:
    """Close and prune what is retired, once its grace is over; when to do so again."""
    with opened(asset) as place, place.store.locked():
        return tidy_place(asset, place, now=clock())


def _remember_telling(asset: Asset, place: Place, telling: Telling) -> None:
    if telling.told:
        with place.store.locked():
            ledger = place.store.ledger().with_told(telling.notifier.key, telling.told)
            place.store.remember(ledger, fsync=asset.publish.fsync)


def _go_back(asset: Asset, place: Place, refused: Generation, tellings: list[Telling], clock: Clock) -> None:
    reason = next(one.error for one in tellings if one.result == "rejected")
    with place.store.locked():
        refusal = Refusal(
            revision=refused.revision, digest=refused.digest, checks=asset.checks, reason=f"the app: {reason}"
        )
        place.store.remember(place.store.ledger().with_refusal(refusal), fsync=asset.publish.fsync)
        try:
            roll_back(asset, place, to=None, pin=False, now=clock())
        except PermanentError as error:
            log.warning("%s: the app refused generation %d, and it stays: %s", asset.name, refused.number, error)
