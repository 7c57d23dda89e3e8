"""Static credentials: logins that exist for good, and whose password Vault changes now and then."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from providers.vault.connection import period
from providers.vault.options import VaultOptions
from refresher.errors import PermanentError

COUNTER = "ttl"
"""The field that holds the seconds until the next rotation: it's another one at each look, and so no news."""

_PATH = re.compile(r".+/static-creds?/.+")
"""`database/static-creds/ROLE`, `ldap/static-cred/ROLE`."""

_MOMENT = "last_vault_rotation"
_OVERDUE_LOOK = timedelta(seconds=2)
_OVERDUE_FOR = timedelta(minutes=1)
"""Vault looks every 5 s for what it has to rotate, and so is late by up to that; after a minute something is wrong."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """The fields that stay until the next rotation, and when to look for it (None: unknown)."""

    fields: Mapping[str, Any]
    changes_at: datetime | None


def of(fields: Mapping[str, Any], options: VaultOptions, asked_at: datetime) -> Rotation:
    """What of an answer is to be published. Raises PermanentError if the user wants the counter itself."""
    if not (_PATH.fullmatch(options.path) and {COUNTER, _MOMENT} <= fields.keys()):
        return Rotation(fields, None)
    if COUNTER in (options.file_names or {}).values():
        raise PermanentError(f"{options.path}: {COUNTER} is another one at each look: leave it out of fields")
    lasting = {name: value for name, value in fields.items() if name != COUNTER}
    return Rotation(lasting, _next_look(_next_rotation(fields, asked_at), asked_at))


def _next_rotation(fields: Mapping[str, Any], asked_at: datetime) -> datetime | None:
    last, every, left = _moment(fields[_MOMENT]), period(fields, "rotation_period"), period(fields, COUNTER)
    if last and every:
        try:
            return last + every
        except OverflowError:
            return None
    return asked_at + left if left else None


def _moment(value: object) -> datetime | None:
    """RFC 3339 with its offset, or None."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def _next_look(rotation: datetime | None, now: datetime) -> datetime | None:
    if rotation is None or rotation > now:
        return rotation
    return now + _OVERDUE_LOOK if now - rotation < _OVERDUE_FOR else None
