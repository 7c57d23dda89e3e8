"""When an asset is refreshed next, and why: arithmetic without a clock.

    (Refresh, Standing, now, seed) --due--> Due(at, why) | None

What decides, in this order:

1. Nothing is held, or what is held came from another source: now, or when the back-off allows it.
2. Something is held: the earliest of the interval, the renewal, and the moment at which the source said that it will
   have something else. Things that a source makes anew have no interval; where it can look after them, `look_at` says
   when, and nothing is made anew for that.
3. The last attempt failed: a retry, which comes before the interval. But what the source makes anew is never made only
   because an attempt failed: there the back-off delays the reason to ask, and is none itself.
4. Pinned: nothing but the emergency floor of what is held.

All randomness is `unit`, a pure function, so the same standing gives the same moment after a restart and another one on
every pod. No answer comes round faster than once a second, however a source dates what it hands out.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b

from refresher.contract import Lease
from refresher.model import Refresh, Result

SHORTEST = timedelta(seconds=1)
"""The first retry's wait, and the least time between two things made anew."""
LONGEST = timedelta(minutes=5)
"""Where the retry's wait stops doubling (OpenBao's agent: 1 s doubling to 5 min minus 0-25%)."""
OVERDUE = timedelta(seconds=10)
"""The longest wait once what is held has expired."""
PUNCTUAL = 0.9
"""Of the bounds that an expiry sets: what a retry plans, so that waking up, asking and publishing keep to them, too."""
OBEYED = timedelta(hours=1)
"""The longest `Retry-After` that is obeyed; an expiry bounds it further."""
EMERGENCY_SHARE = 0.05
"""Of a lifetime: when so little is left, what is held is replaced even if it is pinned."""
DEFAULT_SHARE = 2 / 3
"""Of a lifetime: when `renew_at` leaves nothing of it, as eight hours before the end of a one-hour certificate do."""

_LAST_MOMENT = datetime.max.replace(tzinfo=UTC)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the schedule needs to know about one asset. All moments are aware.

    `started_at` is when this process began to look after it. `generation` is the visible one, None if nothing is held.
    Its facts: `valid_from` and `expires_at` are when its content begins and ends to be usable (a certificate's dates,
    never the lease's), `fetched_at` is when we had it, `lease` the lease as last renewed. `source_changed`: it is from
    another configured source. `minted`: the source makes something new each time.

    `last_attempt_at` is when the last attempt ended, in this process or an earlier one, and `result` how; `permanent`
    and `retry_after` are what it met; `failures` counts attempts in a row that ended neither published nor unchanged.
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
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """When the next refresh is due, never before the moment for which it was asked, and why."""

    at: datetime
    why: Why


@dataclass(frozen=True, slots=True)
class _Term:
    """The time in which something held can be used, counted from the moment we had it: servers backdate."""

    starts_at: datetime
    ends_at: datetime

    @property
    def lifetime(self) -> timedelta:
        return self.ends_at - self.starts_at

    @property
    def emergency_at(self) -> datetime:
        return self.ends_at - max(self.lifetime, timedelta(0)) * EMERGENCY_SHARE


def due(refresh: Refresh, standing: Standing, *, now: datetime, seed: str) -> Due | None:
    """When and why to refresh next; None: only on request. `seed` names the pod, usually its host name."""
    standing = _without_future(standing, now)
    if standing.pinned and standing.generation is not None:
        planned = _emergency(refresh, standing, now)
    else:
        planned = _planned(refresh, standing, now, seed)
    chosen = _backed_off(refresh, standing, planned, now, seed)
    return Due(max(chosen.at, now), chosen.why) if chosen else None


def emergency_at(standing: Standing) -> datetime | None:
    """When 5% of the held content's lifetime are left; None if it has no end, or nothing is held."""
    content = _content(standing)
    return content.emergency_at if content else None


def look_at(refresh: Refresh, standing: Standing, *, now: datetime, seed: str) -> datetime | None:
    """When to look after what was made anew, between its renewals; None: its source couldn't say anything of it."""
    standing = _without_future(standing, now)
    if not (refresh.every and standing.rechecks and standing.minted) or standing.pinned:
        return None
    return max(now, _interval_at(refresh, standing, seed))


def is_renewal_due(refresh: Refresh, standing: Standing, *, now: datetime, seed: str) -> bool:
    """Whether the time has come to renew what is held, and not only to look."""
    return any(at <= now for _, at in _renewals(refresh, standing, now, seed))


def backoff(failures: int, draw: float) -> timedelta:
    """The wait after so many failures in a row: 1 s doubling to 5 min, minus up to 25% as `draw` (0 to 1) says."""
    doublings = min(max(failures, 1) - 1, 10)
    return min(SHORTEST * 2.0**doublings, LONGEST) * (1 - 0.25 * draw)


def unit(seed: str, *parts: object) -> float:
    """A number from 0 to below 1 that looks random and is always the same for the same arguments."""
    digest = blake2b(repr((seed, *map(str, parts))).encode(), digest_size=8).digest()
    # 53 bits are what a float holds: with all 64 the largest values would round up to 1.
    return (int.from_bytes(digest) >> 11) / 2**53


def _without_future(standing: Standing, now: datetime) -> Standing:
    """The standing with our own past in the past: a clock that was set back must not put off a refresh for as long."""
    attempt = standing.last_attempt_at
    if standing.started_at <= now and (attempt is None or attempt <= now):
        return standing
    return replace(standing, started_at=min(standing.started_at, now), last_attempt_at=attempt and min(attempt, now))


def _planned(refresh: Refresh, standing: Standing, now: datetime, seed: str) -> Due | None:
    """The earliest reason to ask the source, whatever became of the last attempt."""
    if standing.generation is None:
        return Due(now, Why.FIRST)
    if standing.source_changed:
        return Due(now, Why.SOURCE_CHANGED)
    renewals = [_unless_just_tried(standing, at, term) for term, at in _renewals(refresh, standing, now, seed)]
    reasons = [Due(at, Why.RENEWAL) for at in renewals]
    if refresh.every and not standing.minted:
        reasons.append(Due(_interval_at(refresh, standing, seed), Why.INTERVAL))
    if standing.changes_at:
        reasons.append(Due(_rotation_at(standing, standing.changes_at), Why.ROTATION))
    return min(reasons, key=_at, default=None)


def _emergency(refresh: Refresh, standing: Standing, now: datetime) -> Due | None:
    content = _content(standing)
    if content is None:
        return None
    at = _not_at_once(refresh, content, content.emergency_at, now)
    return Due(_unless_just_tried(standing, at, content), Why.EMERGENCY)


def _interval_at(refresh: Refresh, standing: Standing, seed: str) -> datetime:
    """`every` ± jitter after the last attempt; the first one of a process anywhere within `every` of its start."""
    attempt = standing.last_attempt_at
    if attempt is None or attempt < standing.started_at:
        return _later(standing.started_at, refresh.every * unit(seed, standing.asset, "start", standing.started_at))
    # Drawn by the moment alone: assets that one answer served are due together again, and one will serve them again.
    swing = refresh.jitter * (2 * unit(seed, "interval", attempt) - 1)
    return _later(attempt, max(refresh.every * (1 + swing), min(refresh.every, SHORTEST)))


def _rotation_at(standing: Standing, changes_at: datetime) -> datetime:
    """Right after the source's own moment; if it is late, as long again as it is already."""
    attempt, at = standing.last_attempt_at, _later(changes_at, SHORTEST)
    return at if attempt is None or attempt < at else _later(attempt, attempt - changes_at)


def _renewals(refresh: Refresh, standing: Standing, now: datetime, seed: str) -> list[tuple[_Term, datetime]]:
    """Each term of what is held, with the moment at which it wants renewal."""
    draw = unit(seed, standing.asset, "renewal", standing.generation)
    terms = [term for term in (_content(standing), _lease(standing)) if term]
    return [(term, _renewal_at(refresh, term, draw, now)) for term in terms]


def _renewal_at(refresh: Refresh, term: _Term, draw: float, now: datetime) -> datetime:
    share = _share(refresh.renew_at, term.lifetime)
    # A spread wider than the share itself would put renewals before the beginning, and so at one a second.
    share -= min(refresh.spread, share / 2) * draw
    at = min(term.starts_at + term.lifetime * share, term.emergency_at)
    return _not_at_once(refresh, term, at, now)


def _not_at_once(refresh: Refresh, term: _Term, at: datetime, now: datetime) -> datetime:
    """`at`, but not right after it was had, however short the lifetime is."""
    gap = max(refresh.min_interval, SHORTEST)
    if term.lifetime <= timedelta(0):  # over when it arrived: another one would hardly be better, so not at full speed
        return _later(min(term.starts_at, now), max(gap, OVERDUE))
    return max(at, _later(term.starts_at, gap))


def _share(renew_at: float | timedelta, lifetime: timedelta) -> float:
    if not isinstance(renew_at, timedelta):
        return renew_at or DEFAULT_SHARE
    return 1 - renew_at / lifetime if lifetime > renew_at else DEFAULT_SHARE


def _unless_just_tried(standing: Standing, at: datetime, term: _Term) -> datetime:
    """`at`, or if that was tried and what is held is still the same, when half of what was left has gone by.

    A source that keeps answering *unchanged* would otherwise be asked again without any pause. Where the back-off
    delays the moment, it alone does.
    """
    attempt = standing.last_attempt_at
    if attempt is None or attempt < at or _is_delayed(standing):
        return at
    if standing.result is Result.PUBLISHED:  # a source may date a new lease back, too
        return max(at, _later(attempt, SHORTEST))
    return _later(attempt, _longest_wait(term.ends_at, attempt))


def _backed_off(refresh: Refresh, standing: Standing, planned: Due | None, now: datetime, seed: str) -> Due | None:
    """What is planned, and how the end of the last attempt changes it."""
    attempt = standing.last_attempt_at
    if attempt is None:
        return planned
    retry = Due(_later(attempt, _retry_wait(refresh, standing, attempt, seed)), Why.RETRY)
    if _is_delayed(standing):
        return max(planned, retry, key=_at) if planned else None
    if not _is_retried(refresh, standing, now, seed):
        return planned
    return min(planned, retry, key=_at) if planned and not standing.retry_after else retry


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
    renewal_is_due = any(at <= attempt for _, at in _renewals(refresh, standing, now, seed))
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
    return min((term.ends_at for term in (_content(standing), _lease(standing)) if term), default=None)


def _at(reason: Due) -> datetime:
    return reason.at


def _content(standing: Standing) -> _Term | None:
    if standing.generation is None or standing.expires_at is None:
        return None
    known = [moment for moment in (standing.valid_from, standing.fetched_at) if moment]
    return _Term(max(known, default=standing.started_at), standing.expires_at)


def _lease(standing: Standing) -> _Term | None:
    lease = standing.lease
    if standing.generation is None or lease is None:
        return None
    return _Term(lease.granted_at, _later(lease.granted_at, lease.duration))


def _later(moment: datetime, wait: timedelta) -> datetime:
    """The sum, or the last moment there is: a source may grant a lease of ten thousand years."""
    try:
        return moment + wait
    except OverflowError:
        return _LAST_MOMENT
