"""Telling: every notifier that hasn't told of the visible generation tells it, until it has.

Level-triggered: what counts is whom the ledger says was told what, not what happened since. So a telling is never lost
by a restart, the newest generation wins over one that nobody heard of, and a telling is repeated rather than forgotten.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from refresher.contract import Change
from refresher.errors import RefresherError, RejectedError
from refresher.ledger import Ledger, Told
from refresher.model import Asset, Generation, NamedNotifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """One attempt to tell: `told` is what to remember (None: try again), `error` a sentence about what went wrong."""

    notifier: NamedNotifier
    generation: int
    result: str
    told: Told | None
    error: str | None = None


def untold(asset: Asset, generation: Generation, ledger: Ledger) -> list[NamedNotifier]:
    """The notifiers that still have to tell of this generation."""
    told = {key: told.generation for key, told in ledger.told.items()}
    return [named for named in asset.notifiers if told.get(named.key) != generation.number]


def tell(asset: Asset, generation: Generation, ledger: Ledger, *, now: datetime) -> Iterator[Telling]:
    """Let each of them tell, one after the other; the caller remembers each `told` before it takes the next."""
    change = change_of(asset, generation, ledger)
    for named in untold(asset, generation, ledger):
        if not named.initial and named.key not in ledger.told:
            told = Told(generation=generation.number, at=now)
            yield Telling(notifier=named, generation=generation.number, result="initial", told=told)
        else:
            yield _attempt(named, change, now)


def change_of(asset: Asset, generation: Generation, ledger: Ledger) -> Change:
    """What the main container is told of this generation."""
    return Change(
        asset=asset.name,
        generation=generation.number,
        cause="rolled-back" if generation.number < ledger.last_generation else "published",
        revision=generation.revision,
        digest=generation.digest,
        path=asset.directory,
        files={name: file.digest for name, file in generation.files.items()},
        published_at=generation.published_at,
        expires_at=generation.expires_at,
    )


def _attempt(named: NamedNotifier, change: Change, now: datetime) -> Telling:
    number = change.generation
    try:
        named.notifier.notify(change)
    except RejectedError as error:
        refused = Told(generation=number, at=now, refused=str(error))
        return Telling(notifier=named, generation=number, result="rejected", told=refused, error=str(error))
    except RefresherError as error:
        return Telling(notifier=named, generation=number, result="failed", told=None, error=str(error))
    except Exception as error:  # noqa: BLE001 - a plugin's bug; its text may quote a secret, and is not shown
        bug = f"unexpected {type(error).__name__}, a bug in the notifier {named.name}"
        return Telling(notifier=named, generation=number, result="failed", told=None, error=bug)
    return Telling(notifier=named, generation=number, result="told", told=Told(generation=number, at=now))
