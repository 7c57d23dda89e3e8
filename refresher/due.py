"""When an asset is refreshed next, and why: arithmetic without a clock.

    (Refresh, Standing, now, seed) --due--> Due(at, why) | None

`weigh` answers what lost, too, for who wants it explained.

What decides, in this order:

1. Nothing is held, or what is held came from another source: now, or when the back-off allows it.
2. Something is held: the earliest of the interval, the renewal, and the moment at which the source said that it will
   have something else. Things that a source makes anew have no interval; where it can look after them, `look_at` says
   when, and nothing is made anew for that.
3. The last attempt failed: a retry, which comes before the interval. But what the source makes anew is never made only
   because an attempt failed: there the back-off delays the reason to ask, and is none itself. Only a look is retried.
4. Pinned: nothing but the emergency floor of what is held.

All randomness is `unit`, a pure function, so the same standing gives the same moment after a restart and another one on
every pod. No answer comes round faster than once a second, however a source dates what it hands out.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from refresher.model import Refresh, Result
from refresher.renewal import (
    OVERDUE,
    SHORTEST,
    Renewal,
    Term,
    is_renewal_due,
    later,
    not_at_once,
    renewals,
    terms,
    unit,
)
from refresher.standing import Standing

LONGEST = timedelta(minutes=5)
"""Where the retry's wait stops doubling (OpenBao's agent: 1 s doubling to 5 min minus 0-25%)."""
PUNCTUAL = 0.9
"""Of the bounds that an expiry sets: what a retry plans, so that waking up, asking and publishing keep to them, too."""
OBEYED = timedelta(hours=1)
"""The longest `Retry-After` that is obeyed; an expiry bounds it further."""

_REFUSED = (Result.REJECTED, Result.ROLLED_BACK)
_WENT_WRONG = (Result.FAILED, *_REFUSED)


class Why(StrEnum):
    """Why an asset is refreshed at that moment."""

    FIRST = "first"
    SOURCE_CHANGED = "source-changed"
    INTERVAL = "interval"
    RENEWAL = "renewal"
    ROTATION = "rotation"
    EMERGENCY = "emergency"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Due:
    """When the next refresh is due, never before the moment for which it was asked, and why.

    `renewal` is what the moment of a renewal was computed from.
    """

    at: datetime
    why: Why
    renewal: Renewal | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What was chosen, and from what.

    `reasons` to ask the source, the earliest first; `retry` is when the back-off after the last attempt is over, None
    if it has no say; where it `delays`, it holds the reasons up, and is none itself.
    """

    chosen: Due | None
    reasons: tuple[Due, ...]
    retry: Due | None
    delays: bool


def due(refresh: Refresh, standing: Standing, *, now: datetime, seed: str) -> Due | None:
    """When and why to refresh next; None: only on request. `seed` names the pod, usually its host name."""
    return weigh(refresh, standing, now=now, seed=seed).chosen


def weigh(refresh: Refresh, standing: Standing, *, now: datetime, seed: str) -> Weighed:
    """The same, with the moments that lost."""
    standing = _without_future(standing, now)
    reasons = sorted(_reasons(refresh, standing, now, seed), key=_at)
    retry, delays = _retry(refresh, standing, now, seed), _is_delayed(standing)
    chosen = _chosen(reasons[0] if reasons else None, retry, standing)
    chosen = replace(chosen, at=max(chosen.at, now)) if chosen else None
    return Weighed(chosen=chosen, reasons=tuple(reasons), retry=retry, delays=delays)


def look_at(refresh: Refresh, standing: Standing, *, now: datetime, seed: str) -> datetime | None:
    """When to look after what was made anew, between its renewals; None: its source couldn't say anything of it."""
    standing = _without_future(standing, now)
    if not (refresh.every and standing.rechecks and standing.minted) or standing.pinned:
        return None
    look, attempt = _interval_at(refresh, standing, seed), standing.last_attempt_at
    # A look that found it revoked had another one made: a source or a check that refuses it won't be asked at each.
    if attempt and (standing.result in _REFUSED or standing.permanent):
        look = max(look, later(attempt, _retry_wait(refresh, standing, attempt, seed)))
    elif attempt and standing.result is Result.FAILED and not is_renewal_due(refresh, standing, now=now, seed=seed):
        look = min(look, later(attempt, _retry_wait(refresh, standing, attempt, seed)))
    return max(now, look)


def backoff(failures: int, draw: float) -> timedelta:
    """The wait after so many failures in a row: 1 s doubling to 5 min, minus up to 25% as `draw` (0 to 1) says."""
    doublings = min(max(failures, 1) - 1, 10)
    return min(SHORTEST * 2.0**doublings, LONGEST) * (1 - 0.25 * draw)


def _without_future(standing: Standing, now: datetime) -> Standing:
    """The standing with our own past in the past: a clock that was set back must not put off a refresh for as long."""
    attempt = standing.last_attempt_at
    if standing.started_at <= now and (attempt is None or attempt <= now):
        return standing
    return replace(standing, started_at=min(standing.started_at, now), last_attempt_at=attempt and min(attempt, now))


def _reasons(refresh: Refresh, standing: Standing, now: datetime, seed: str) -> list[Due]:
    """The reasons to ask the source, whatever became of the last attempt."""
    if standing.generation is None:
        return [Due(now, Why.FIRST)]
    if standing.pinned:
        return _emergencies(refresh, standing, now)
    if standing.source_changed:
        return [Due(now, Why.SOURCE_CHANGED)]
    wanted = renewals(refresh, standing, now, seed)
    reasons = [Due(_unless_just_tried(standing, each.at, each.term), Why.RENEWAL, each) for each in wanted]
    if refresh.every and not standing.minted:
        reasons.append(Due(_interval_at(refresh, standing, seed), Why.INTERVAL))
    if standing.changes_at:
        reasons.append(Due(_rotation_at(standing, standing.changes_at), Why.ROTATION))
    return reasons


def _emergencies(refresh: Refresh, standing: Standing, now: datetime) -> list[Due]:
    floors = [(term, not_at_once(refresh, term, term.emergency_at, now)) for term in terms(standing)]
    return [Due(_unless_just_tried(standing, at, term), Why.EMERGENCY) for term, at in floors]


def _interval_at(refresh: Refresh, standing: Standing, seed: str) -> datetime:
    """`every` ± jitter after the last attempt; the first one of a process anywhere within `every` of its start."""
    attempt = standing.last_attempt_at
    if attempt is None or attempt < standing.started_at:
        return later(standing.started_at, refresh.every * unit(seed, standing.asset, "start", standing.started_at))
    # Drawn by the moment alone: assets that one answer served are due together again, and one will serve them again.
    swing = refresh.jitter * (2 * unit(seed, "interval", attempt) - 1)
    return later(attempt, max(refresh.every * (1 + swing), min(refresh.every, SHORTEST)))


def _rotation_at(standing: Standing, changes_at: datetime) -> datetime:
    """Right after the source's own moment; if it is late, as long again as it is already."""
    attempt, at = standing.last_attempt_at, later(changes_at, SHORTEST)
    return at if attempt is None or attempt < at else later(attempt, attempt - changes_at)


def _unless_just_tried(standing: Standing, at: datetime, term: Term) -> datetime:
    """`at`, or if that was tried and what is held is still the same, when half of what was left has gone by.

    A source that keeps answering *unchanged* would otherwise be asked again without any pause. Where the back-off
    delays the moment, it alone does.
    """
    attempt = standing.last_attempt_at
    if attempt is None or attempt < at or _is_delayed(standing):
        return at
    if standing.result is Result.PUBLISHED:  # a source may date a new lease back, too
        return max(at, later(attempt, SHORTEST))
    return later(attempt, _longest_wait(term.ends_at, attempt))


def _retry(refresh: Refresh, standing: Standing, now: datetime, seed: str) -> Due | None:
    """The end of the back-off, if the end of the last attempt changes anything."""
    attempt = standing.last_attempt_at
    if attempt is None or not (_is_delayed(standing) or _is_retried(refresh, standing, now, seed)):
        return None
    return Due(later(attempt, _retry_wait(refresh, standing, attempt, seed)), Why.RETRY)


def _chosen(first: Due | None, retry: Due | None, standing: Standing) -> Due | None:
    """The earliest reason, and how the back-off changes it."""
    if retry is None:
        return first
    if _is_delayed(standing):
        return max(first, retry, key=_at) if first else None
    return min(first, retry, key=_at) if first and not standing.retry_after else retry


def _is_delayed(standing: Standing) -> bool:
    """Whether a failure delays the reason to ask, and is none itself."""
    if standing.generation is None or standing.source_changed:
        return True
    return (standing.minted or standing.pinned) and standing.result in _WENT_WRONG


def _is_retried(refresh: Refresh, standing: Standing, now: datetime, seed: str) -> bool:
    """Whether a failure is a reason to ask soon; a rejection isn't, and what is permanent waits for the interval."""
    if standing.result is not Result.FAILED or standing.minted or standing.pinned:
        return False
    attempt = standing.last_attempt_at or now
    renewal_is_due = any(renewal.at <= attempt for renewal in renewals(refresh, standing, now, seed))
    return not standing.permanent or not refresh.every or renewal_is_due


def _retry_wait(refresh: Refresh, standing: Standing, attempt: datetime, seed: str) -> timedelta:
    draw = unit(seed, standing.asset, "retry", standing.failures, attempt)
    bound = max(_longest_wait(_ends_at(standing), attempt) * PUNCTUAL, SHORTEST)
    wait = min(backoff(standing.failures, draw), bound)
    if standing.retry_after:
        wait = max(wait, min(standing.retry_after, bound, OBEYED))
    if standing.result in _REFUSED:  # it arrived, so it may have been made for us
        wait = max(wait, refresh.min_interval)
    return max(wait, SHORTEST) if standing.minted or standing.result in _REFUSED else wait


def _longest_wait(ends_at: datetime | None, moment: datetime) -> timedelta:
    """Half of what remains until the end, but never under a second; once it is past, ten seconds."""
    if ends_at is None:
        return timedelta.max
    remaining = ends_at - moment
    return max(remaining / 2, SHORTEST) if remaining > timedelta(0) else OVERDUE


def _ends_at(standing: Standing) -> datetime | None:
    return min((term.ends_at for term in terms(standing)), default=None)


def _at(reason: Due) -> datetime:
    return reason.at
