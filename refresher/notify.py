"""Telling: a notifier that hasn't told of what is visible tells it, until it has.

Level-triggered: what counts is what the ledger says was told, not what happened since. So a telling is never lost by a
restart, the newest generation wins over one that nobody heard of, and a telling is repeated rather than forgotten.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from refresher.bug import places_of
from refresher.contract import Change
from refresher.errors import RefresherError, RejectedError
from refresher.ledger import Holding, Told
from refresher.model import Asset, NamedNotifier

log = logging.getLogger("refresher")


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One attempt to tell of one asset.

    `result` is `told`, `rejected` or `failed`, or `initial` for a first generation that is left out; `told` is what to
    remember (None: try again), `error` a sentence about what went wrong. `destination` is the notifier's key, for an
    asset may have two of one name; `at` is when it was tried.
    """

    asset: str
    notifier: str
    destination: str
    at: datetime
    generation: int
    result: str
    told: Told | None
    error: str | None = None


def is_owed(named: NamedNotifier, holding: Holding) -> bool:
    """Whether this notifier still has to tell of the visible generation."""
    if holding.current is None:
        return False
    told = holding.ledger.told.get(named.key)
    return told is None or told.generation != holding.current.number


def untold(asset: Asset, holding: Holding) -> list[NamedNotifier]:
    """The asset's notifiers that still have to tell of the visible generation."""
    return [named for named in asset.notifiers if is_owed(named, holding)]


def tell(named: NamedNotifier, changes: Sequence[Change], *, now: datetime) -> list[Telling]:
    """One attempt for all these changes together: the app is told once, of the newest, with the others' names."""
    *others, newest = sorted(changes, key=lambda change: change.published_at)
    result, error = _attempt(named, replace(newest, also=tuple(sorted(change.asset for change in others))))
    return [_telling(named, change, result, error, now) for change in changes]


def left_out(named: NamedNotifier, change: Change, *, now: datetime) -> Telling:
    """The telling of a first generation that the configuration leaves out."""
    return _telling(named, change, "initial", None, now)


def change_of(asset: Asset, holding: Holding) -> Change:
    """What the main container is told of the visible generation."""
    generation = holding.current
    assert generation is not None  # noqa: S101 - nobody is owed anything otherwise
    return Change(
        asset=asset.name,
        generation=generation.number,
        cause="rolled-back" if generation.number < holding.ledger.last_generation else "published",
        revision=generation.revision,
        digest=generation.digest,
        path=asset.directory,
        files={name: file.digest for name, file in generation.files.items()},
        published_at=generation.published_at,
        expires_at=generation.expires_at,
    )


def _telling(named: NamedNotifier, change: Change, result: str, error: str | None, now: datetime) -> Telling:
    heard = Told(generation=change.generation, at=now, refused=error if result == "rejected" else None)
    return Telling(
        asset=change.asset,
        notifier=named.name,
        destination=named.key,
        at=now,
        generation=change.generation,
        result=result,
        told=None if result == "failed" else heard,
        error=error,
    )


def _attempt(named: NamedNotifier, change: Change) -> tuple[str, str | None]:
    try:
        named.notifier.notify(change)
    except RejectedError as error:
        return "rejected", str(error)
    except RefresherError as error:
        return "failed", str(error)
    except Exception as error:  # noqa: BLE001 - a plugin's bug must not stop the telling
        log.error(  # noqa: TRY400 - the exception's text may quote a secret
            "%s: a bug in the notifier %s, %s",
            change.asset,
            named.name,
            places_of(error),
            extra={"asset": change.asset, "step": "notify", "notifier": named.name},
        )
        return "failed", f"unexpected {type(error).__name__}, a bug in the notifier {named.name}"
    return "told", None
