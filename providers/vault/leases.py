"""Leases of dynamic credentials: read from an answer, renewed, and never believed to outlive the token behind them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from providers.vault.connection import period
from providers.vault.login import Login
from providers.vault.session import Session
from refresher.contract import Lease
from refresher.errors import PermanentError, TransientError


def lease_of(body: Mapping[str, Any], login: Login, asked_at: datetime) -> Lease | None:
    """The lease that an answer grants, None if it grants none.

    Its id is Vault's, then `#` and a mark of the token that it was got with: the server revokes a lease with its token,
    so one got with another token (an earlier process's) must not be renewed beyond that token's unknown end.
    """
    id_, duration = body.get("lease_id"), period(body, "lease_duration")
    if not isinstance(id_, str) or not id_ or duration is None:
        return None
    duration = _within(login, duration, asked_at)
    renewable = body.get("renewable") is True
    return Lease(id=f"{id_}#{_mark(login)}", granted_at=asked_at, duration=duration, renewable=renewable)


def is_from(lease: Lease, path: str) -> bool:
    """Whether the path gave it: its id begins with that, without a namespace that may be written before it.

    What is held comes from a file in the volume: whoever can write there must not have others' leases ended.
    """
    made_at = lease.id.rpartition("#")[0].rpartition("/")[0]
    return bool(made_at) and f"/{path}".endswith(f"/{made_at}")


def renewed(session: Session, lease: Lease) -> Lease | None:
    """The lease with a new life.

    None if something new has to be fetched: the server won't renew it, grants less than half of what it did before (its
    longest life is nearly over), or the token is another one now.
    """
    id_, _, mark = lease.id.rpartition("#")
    if not lease.renewable or lease.expires_at <= session.clock():
        return None
    asked_at = session.clock()
    answer, login = session.send("POST", "sys/leases/renew", {"lease_id": id_})
    try:
        granted = lease_of(answer.required().body, login, asked_at)
    except PermanentError:
        return None
    if granted is None or mark != _mark(login):
        return None
    # What the server grants counts here, not what the token's end leaves of it: that grows again with a new token.
    return granted if (period(answer.body, "lease_duration") or timedelta(0)) >= lease.duration / 2 else None


def revoke(session: Session, lease: Lease) -> None:
    """End the lease before its time; one that has ended already is fine.

    Raises TransientError, and PermanentError where the right is missing: Vault's default policy gives none.
    """
    id_ = lease.id.rpartition("#")[0]
    # Without sync the server only promises to do it, and keeps for itself that the database can't be reached.
    answer, _ = session.send("POST", "sys/leases/revoke", {"lease_id": id_, "sync": True})
    if answer.status == 403:
        line = 'path "sys/leases/revoke" { capabilities = ["update"] }'
        raise PermanentError(f"{answer.request} is not allowed, so it will run out by itself; the policy needs {line}")
    if answer.status == 400:
        raise TransientError(f"{answer.request} failed: {answer.complaint}")
    answer.required()


def lease_revision(lease: Lease) -> str:
    """A revision for dynamic credentials: a hash of the lease's id, which alone would allow some to revoke it."""
    return "lease:" + blake2b(lease.id.encode(), digest_size=16).hexdigest()


def _within(login: Login, duration: timedelta, now: datetime) -> timedelta:
    remaining = login.remaining(now)
    return duration if remaining is None else max(min(duration, remaining), timedelta(0))


def _mark(login: Login) -> str:
    return blake2b(login.token.encode(), digest_size=8).hexdigest()
