"""What is remembered about an asset between two starts: `ledger.json`, and each generation's `manifest.json`.

The manifest is part of its generation, so that publishing and recording are one rename and can't disagree. The ledger
holds what is not content: who has been told what, which revisions were refused, the lease, the pin, the last outcome.
It is written only when it changed. Losing it costs a repeated telling and a repeated refusal, never a file.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Self

from pydantic import TypeAdapter, ValidationError

from refresher.contract import Lease
from refresher.errors import RejectedError
from refresher.filenames import parts_of
from refresher.model import Generation, Outcome

REMEMBERED_REFUSALS = 20
"""Refusals beyond the newest 20 are forgotten; a source that goes back further is checked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one notifier has last told: of which generation, when, and whether the app refused it (its answer).

    Generation 0 is none: what was told doesn't count since a rollback.
    """

    generation: int
    at: datetime
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Content that was refused under the checks with this fingerprint, by a limit, a verifier or the app."""

    revision: str
    digest: str
    checks: str
    reason: str

    @property
    def names(self) -> tuple[str, str, str]:
        """What was refused, and under which checks."""
        return self.revision, self.digest, self.checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The newest revision whose content turned out to be that of `generation`."""

    generation: int
    revision: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A lease that isn't renewed any more; `generation` is what was published with it, 0 if nothing was."""

    generation: int
    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What is remembered about one asset.

    `last_generation` is the highest number ever given, `shown` the one that readers were led to last, `lease` the
    visible one's. `changes_at` is when the source said that it will have something else.
    """

    last_generation: int = 0
    shown: int | None = None
    told: Mapping[str, Told] = field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
    seen: Seen | None = None
    lease: Lease | None = None
    retired: tuple[Retired, ...] = ()
    changes_at: datetime | None = None
    pinned: int | None = None
    outcome: Outcome | None = None

    def refusal(self, *, revision: str, digest: str | None, checks: str) -> Refusal | None:
        """The refusal of this content under these checks, if there was one. An empty revision names nothing."""
        for refusal in self.refused:
            if refusal.checks == checks and (digest == refusal.digest or revision == refusal.revision != ""):
                return refusal
        return None

    def with_refusal(self, refusal: Refusal) -> Self:
        """The ledger with one more refusal, in place of an earlier one of the same; the oldest is forgotten."""
        others = (known for known in self.refused if known.names != refusal.names)
        return replace(self, refused=(*others, refusal)[-REMEMBERED_REFUSALS:])

    def with_told(self, key: str, told: Told) -> Self:
        """The ledger after the notifier `key` has told."""
        return replace(self, told={**self.told, key: told})

    def retiring(self, lease: Lease | None, *, generation: int) -> Self:
        """The ledger with that lease among the retired ones."""
        retired = () if lease is None else (Retired(generation=generation, lease=lease),)
        return replace(self, retired=(*self.retired, *retired))

    def expecting(self, lease: Lease | None, *, generation: int) -> Self:
        """The ledger before that generation comes into sight: its lease is retired for the case that it never does.

        What had its number before, and never came into sight, gives it away.
        """
        if lease is None or (self.lease and self.lease.id == lease.id):
            return self
        before = tuple(replace(each, generation=0) if each.generation == generation else each for each in self.retired)
        return replace(self, retired=before).retiring(lease, generation=generation)

    def showing(self, generation: Generation) -> Self:
        """The ledger as it is when readers see that generation, wherever a kill came: its lease isn't retired."""
        lease = self.lease_of(generation)
        if lease is None or lease == self.lease:
            return replace(self, shown=generation.number)
        others = tuple(each for each in self.retired if each.lease != lease)
        retiring = replace(self, retired=others).retiring(self.lease, generation=self.shown or 0)
        return replace(retiring, shown=generation.number, lease=lease)

    def lease_of(self, generation: Generation) -> Lease | None:
        """The lease with which that generation was published, as last renewed: retired since, or the visible one's."""
        for retired in self.retired:
            if retired.generation == generation.number:
                return retired.lease
        known = (self.lease, *(retired.lease for retired in self.retired))
        return next((lease for lease in known if lease and mark_of(lease) == generation.lease), None)

    def source_and_revision(self, generation: Generation) -> tuple[str, str]:
        """Where `generation`'s content was last seen, and under which revision."""
        if self.seen and self.seen.generation == generation.number:
            return self.seen.source, self.seen.revision
        return generation.source, generation.revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What is held of an asset: the visible generation, and what is remembered."""

    current: Generation | None = None
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def expires_at(self) -> datetime | None:
        """When the visible generation can't be used any more, its lease as last renewed included."""
        if self.current is None:
            return None
        lease = self.ledger.lease.expires_at if self.ledger.lease else self.current.leased_until
        return min((end for end in (self.current.expires_at, lease) if end), default=None)

    @property
    def refused(self) -> str | None:
        """What the app answered, if it can't use the visible generation."""
        number = self.current.number if self.current else None
        answers = (told.refused for told in self.ledger.told.values() if told.generation == number)
        return next((answer for answer in answers if answer is not None), None)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """How a refresh ended, and what is held after it (None: the volume could not be used)."""

    outcome: Outcome
    holding: Holding | None


def mark_of(lease: Lease) -> str:
    """What a manifest, which others can read, says of a lease: its id alone would allow some to end it."""
    return blake2b(lease.id.encode(), digest_size=16).hexdigest()


_LEDGER = TypeAdapter(Ledger)
_GENERATION = TypeAdapter(Generation)


def dump_ledger(ledger: Ledger) -> bytes:
    """The ledger as JSON."""
    return _LEDGER.dump_json(ledger, indent=1)


def load_ledger(content: bytes) -> Ledger | None:
    """The ledger from its JSON; None if it can't be read."""
    try:
        ledger = _LEDGER.validate_json(content)
        moments = [told.at for told in ledger.told.values()]
        for lease in filter(None, (ledger.lease, *(retired.lease for retired in ledger.retired))):
            moments += [lease.granted_at, lease.expires_at, lease.over_at]
        if ledger.changes_at:
            moments.append(ledger.changes_at)
        if ledger.outcome:
            moments += [ledger.outcome.started_at, ledger.outcome.looked_at, ledger.outcome.finished_at]
    except (ValidationError, OverflowError):
        return None
    return ledger if _are_moments(moments) else None


def dump_manifest(generation: Generation) -> bytes:
    """The generation's manifest as JSON."""
    return _GENERATION.dump_json(generation, indent=1)


def load_manifest(content: bytes) -> Generation | None:
    """The generation from its manifest's JSON; None if it can't be read, or names files that nobody could publish."""
    try:
        found = _GENERATION.validate_json(content)
        # The main container may have written it: a name such as `../../etc/passwd` must not get any further.
        names = [parts_of(name) for name in found.files]
    except (ValidationError, RejectedError):
        return None
    moments = (found.fetched_at, found.published_at, found.valid_from, found.expires_at, found.leased_until)
    return found if names and _are_moments(moments) else None


def _are_moments(moments: Iterable[datetime | None]) -> bool:
    """Whether each is aware, and one of UTC's: arithmetic with any other fails, at every look anew."""
    known = [moment for moment in moments if moment]
    with suppress(OverflowError):
        return len([moment.astimezone(UTC) for moment in known if moment.tzinfo]) == len(known)
    return False
