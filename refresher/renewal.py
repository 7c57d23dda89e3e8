"""When what is held wants to be renewed: arithmetic without a clock.

A certificate and a lease each have a term. Each is renewed at `renew_at` of it, minus a part of `spread` that is drawn
by pod, asset and generation: another moment on every pod, and the same one after a restart.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b

from refresher.model import Refresh
from refresher.standing import Standing

SHORTEST = timedelta(seconds=1)
"""The first retry's wait, and the least time between two things made anew."""
OVERDUE = timedelta(seconds=10)
"""The longest wait once what is held has expired."""
EMERGENCY_SHARE = 0.05
"""Of a lifetime: when so little is left, what is held is replaced even if it is pinned."""
DEFAULT_SHARE = 2 / 3
"""Of a lifetime: when `renew_at` leaves nothing of it, as eight hours before the end of a one-hour certificate do."""

_LAST_MOMENT = datetime.max.replace(tzinfo=UTC)


class Kind(StrEnum):
    """What has a term."""

    CONTENT = "content"
    LEASE = "lease"


@dataclass(frozen=True, slots=True)
class Term:
    """The time in which something held can be used, counted from the moment we had it: servers backdate."""

    starts_at: datetime
    ends_at: datetime
    kind: Kind

    @property
    def lifetime(self) -> timedelta:
        """How long that is; not above zero if it was over when it came."""
        return self.ends_at - self.starts_at

    @property
    def emergency_at(self) -> datetime:
        """When `EMERGENCY_SHARE` of it is left."""
        return self.ends_at - max(self.lifetime, timedelta(0)) * EMERGENCY_SHARE


@dataclass(frozen=True, slots=True)
class Renewal:
    """When a term wants renewal: at `share` of its lifetime, from which the pod's `spread` is taken off already.

    `at` is another moment than that where the emergency floor comes before it, or `min_interval` after it.
    """

    term: Term
    at: datetime
    share: float
    spread: float


def emergency_at(standing: Standing) -> datetime | None:
    """When 5% of the lifetime of what is held are left, or of its lease; None if it has no end, or nothing is held."""
    return min((term.emergency_at for term in terms(standing)), default=None)


def renewal_at(refresh: Refresh, standing: Standing, *, now: datetime, seed: str) -> datetime | None:
    """When what is held wants to be replaced, tried already or not; None if it has no end, or nothing is held."""
    return min((renewal.at for renewal in renewals(refresh, standing, now, seed)), default=None)


def is_renewal_due(refresh: Refresh, standing: Standing, *, now: datetime, seed: str) -> bool:
    """Whether the time has come to renew what is held, and not only to look."""
    at = renewal_at(refresh, standing, now=now, seed=seed)
    return at is not None and at <= now


def renewals(refresh: Refresh, standing: Standing, now: datetime, seed: str) -> list[Renewal]:
    """Each term of what is held, with the moment at which it wants renewal."""
    part = "renewal", standing.generation
    return [_renewal(refresh, term, unit(seed, standing.asset, *part), now) for term in terms(standing)]


def _renewal(refresh: Refresh, term: Term, draw: float, now: datetime) -> Renewal:
    share = _share(refresh.renew_at, term.lifetime)
    # A spread wider than the share itself would put renewals before the beginning, and so at one a second.
    spread = min(refresh.spread, share / 2) * draw
    at = min(term.starts_at + term.lifetime * (share - spread), term.emergency_at)
    return Renewal(term, not_at_once(refresh, term, at, now), share - spread, spread)


def not_at_once(refresh: Refresh, term: Term, at: datetime, now: datetime) -> datetime:
    """`at`, but not right after it was had, however short the lifetime is."""
    gap = max(refresh.min_interval, SHORTEST)
    if term.lifetime <= timedelta(0):  # over when it arrived: another one would hardly be better, so not at full speed
        return later(min(term.starts_at, now), max(gap, OVERDUE))
    return max(at, later(term.starts_at, gap))


def _share(renew_at: float | timedelta, lifetime: timedelta) -> float:
    if not isinstance(renew_at, timedelta):
        return renew_at or DEFAULT_SHARE
    return 1 - renew_at / lifetime if lifetime > renew_at else DEFAULT_SHARE


def unit(seed: str, *parts: object) -> float:
    """A number from 0 to below 1 that looks random and is always the same for the same arguments."""
    digest = blake2b(repr((seed, *map(str, parts))).encode(), digest_size=8).digest()
    # 53 bits are what a float holds: with all 64 the largest values would round up to 1.
    return (int.from_bytes(digest) >> 11) / 2**53


def terms(standing: Standing) -> list[Term]:
    """Those that what is held has: its content's, its lease's."""
    return [term for term in (_content_term(standing), _lease_term(standing)) if term]


def _content_term(standing: Standing) -> Term | None:
    if standing.generation is None or standing.expires_at is None:
        return None
    known = [moment for moment in (standing.valid_from, standing.fetched_at) if moment]
    return Term(max(known, default=standing.started_at), standing.expires_at, Kind.CONTENT)


def _lease_term(standing: Standing) -> Term | None:
    lease = standing.lease
    if standing.generation is None or lease is None:
        return None
    return Term(lease.granted_at, later(lease.granted_at, lease.duration), Kind.LEASE)


def later(moment: datetime, wait: timedelta) -> datetime:
    """The sum, or the last moment there is: a source may grant a lease of ten thousand years."""
    try:
        return moment + wait
    except OverflowError:
        return _LAST_MOMENT
