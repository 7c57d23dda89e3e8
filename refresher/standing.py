"""How one asset stands, as far as the schedule needs to know: the facts from which `due` computes a moment."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from refresher import able
from refresher.contract import Lease
from refresher.ledger import Holding
from refresher.model import Asset, Refresh, Result

GOOD = frozenset({Result.PUBLISHED, Result.UNCHANGED})
"""Outcomes after a successful look at the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the schedule needs to know about one asset. All moments are aware.

    `started_at` is when this process began to look after it. `generation` is the visible one, None if nothing is held.
    Its facts: `valid_from` and `expires_at` are when its content begins and ends to be usable (a certificate's dates,
    never the lease's), `fetched_at` is when we had it, `lease` the lease as last renewed. `source_changed`: it is from
    another configured source. `minted`: the source makes something new each time; `rechecks`: it can look after that,
    too. `changes_at` is when the source said that it will have something else.

    `last_attempt_at` is when the last attempt ended, in this process or an earlier one, and `result` how; `permanent`
    and `retry_after` are what it met; `failures` counts attempts in a row that ended neither published nor unchanged.
    `out_of_turn`: it was a good one, and not the interval's.
    """

    asset: str
    started_at: datetime
    generation: int | None = None
    source_changed: bool = False
    minted: bool = False
    rechecks: bool = False
    changes_at: datetime | None = None
    valid_from: datetime | None = None
    fetched_at: datetime | None = None
    expires_at: datetime | None = None
    lease: Lease | None = None
    last_attempt_at: datetime | None = None
    result: Result | None = None
    permanent: bool = False
    retry_after: timedelta | None = None
    failures: int = 0
    out_of_turn: bool = False
    pinned: bool = False


def standing_of(asset: Asset, holding: Holding, *, started_at: datetime) -> Standing:
    """What the schedule needs to know, as far as the volume tells it."""
    current, ledger = holding.current, holding.ledger
    known = Standing(
        asset=asset.name,
        started_at=started_at,
        last_attempt_at=ledger.outcome.finished_at if ledger.outcome else None,
        result=ledger.outcome.result if ledger.outcome else None,
    )
    if current is None:
        return known
    return replace(
        known,
        generation=current.number,
        source_changed=ledger.source_and_revision(current)[0] != asset.source,
        minted=current.minted,
        rechecks=rechecks(asset),
        changes_at=ledger.changes_at,
        valid_from=current.valid_from,
        fetched_at=current.fetched_at,
        expires_at=current.expires_at,
        lease=ledger.lease,
        pinned=ledger.pinned is not None,
    )


def after(
    refresh: Refresh,
    standing: Standing,
    result: Result,
    *,
    at: datetime,
    permanent: bool = False,
    retry_after: timedelta | None = None,
) -> Standing:
    """How it stands once an attempt has ended so, at that moment; what is held since then is the caller's to add."""
    return replace(
        standing,
        last_attempt_at=at,
        result=result,
        permanent=permanent,
        retry_after=retry_after,
        failures=0 if result in GOOD else standing.failures + 1,
        out_of_turn=result in GOOD and _is_out_of_turn(refresh, standing, at),
    )


def _is_out_of_turn(refresh: Refresh, standing: Standing, at: datetime) -> bool:
    """Whether a look comes then for another reason than the interval: the first, a retry, somebody's wish."""
    last = standing.last_attempt_at
    if standing.generation is None or standing.failures:
        return True
    if standing.out_of_turn or last is None or last < standing.started_at:
        return False
    # Its turn comes after the shortest interval, and the answer may be another asset's, as old as it may be.
    return at - last < refresh.every * (1 - refresh.jitter) - fresh_for(refresh)


def fresh_for(refresh: Refresh) -> timedelta:
    """How old an answer may be that was given to another look: by their jitter alone, two can come so far apart."""
    return refresh.every * refresh.jitter * 2


def rechecks(asset: Asset) -> bool:
    """Whether the source can look after what it made anew without making it again."""
    return able.rechecks(asset.provider)
