"""What one refresh knows when it starts, what it learns on the way, and how it ends."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import perf_counter

from refresher.bug import places_of
from refresher.contract import Fetched, FileSet, Finding, Held, Lease, Unchanged
from refresher.errors import PermanentError, RefresherError, RejectedError, TransientError
from refresher.ledger import Holding, Ledger, Refusal, Seen
from refresher.model import Asset, Candidate, Clock, Generation, Outcome, Result, Wish
from refresher.place import Place
from refresher.renewal import emergency_at
from refresher.standing import fresh_for, rechecks, standing_of
from refresher.traffic import Progress
from refresher.volume import explained

log = logging.getLogger("refresher")

Lesson = Callable[[Ledger, Generation | None], Ledger]
"""What is remembered after something was learned, given what was before, and what is visible."""

REMEMBERED_SHARE = 0.2
"""Of `max_stale`: how old the last look that is written down may be."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One refresh of one asset."""

    asset: Asset
    wish: Wish
    clock: Clock
    progress: Progress = field(default_factory=Progress)
    answered: Callable[[], object] = lambda: None
    started_at: datetime = field(init=False)
    steps: dict[str, float] = field(default_factory=dict)
    before: Holding | None = None
    current: Generation | None = None
    ledger: Ledger = field(default_factory=Ledger)
    answer: Fetched | Unchanged | None = None
    outcome: Outcome | None = None
    _learned: list[Lesson] = field(default_factory=list)
    _seen: object = None

    def __post_init__(self) -> None:
        self.started_at = self.clock()
        self.progress.expect(0)

    @property
    def holding(self) -> Holding | None:
        """What is held now, with what was learned; None if the volume could not be looked at."""
        return Holding(current=self.current, ledger=self.ledger) if self.before else None

    def look(self, place: Place) -> None:
        """See what is held; once more under the lock, because fetching takes its time, and others don't wait for it."""
        seen = place.seen()
        if self.before is not None and seen == self._seen:
            return
        self._seen, self.before = seen, place.holding()
        self.current, self.ledger = self.before.current, self.before.ledger
        for lesson in self._learned:
            self.ledger = lesson(self.ledger, self.current)

    def require_same(self, current: Generation | None) -> None:
        """Raise TransientError if readers see something else now than `current`."""
        if self._number(self.current) != self._number(current):
            raise TransientError("another generation was put in place while this one was fetched")

    def learn(self, lesson: Lesson) -> None:
        """Change what is remembered; and again, if somebody else changes it before it is written down."""
        self._learned.append(lesson)
        self.ledger = lesson(self.ledger, self.current)

    def _of_current(self, change: Callable[[Ledger], Ledger]) -> None:
        """Learn what is about the visible generation, and about no other."""
        number = self._number(self.current)
        self.learn(lambda ledger, current: change(ledger) if self._number(current) == number else ledger)

    @staticmethod
    def _number(generation: Generation | None) -> int | None:
        return generation.number if generation else None

    def is_pinned(self) -> bool:
        """Whether somebody put an earlier generation back, and it is not about to expire."""
        holding = self.holding
        if holding is None or holding.current is None or holding.ledger.pinned is None:
            return False
        floor = emergency_at(standing_of(self.asset, holding, started_at=self.started_at))
        return floor is None or self.clock() < floor

    def is_settled(self) -> bool:
        """Whether a look could see nothing: what was made anew and isn't due, where only making it again would tell."""
        held = self.held()
        return held is not None and not held.due and self._is_minted() and not rechecks(self.asset)

    def _is_minted(self) -> bool:
        return self.current is not None and self.current.minted

    def held(self) -> Held | None:
        """What the provider is shown. None: give it all, made anew where you make things anew."""
        if self.current is None or (self.wish is Wish.ANEW and self.current.minted):
            return None
        source, revision = self.ledger.source_and_revision(self.current)
        if source != self.asset.source:
            return None
        digests = {name: file.digest for name, file in self.current.files.items()}
        is_look, refresh = self.wish is Wish.LOOK, self.asset.refresh
        return Held(
            revision=revision,
            digests=digests,
            lease=self.ledger.lease,
            due=not is_look,
            fresh_for=fresh_for(refresh) if is_look else timedelta(0),
        )

    def hear(self, answer: Fetched | Unchanged) -> None:
        """Take note of what the source said."""
        self.answer = answer
        self.answered()

    @contextmanager
    def shown(self, place: Place) -> Iterator[FileSet | None]:
        """What readers see now, for verifiers to compare with; None if somebody removed it."""
        with ExitStack() as opened:
            files = None
            if self.current:
                with suppress(OSError):
                    files = opened.enter_context(place.files(self.current))
            yield files

    def is_current(self, candidate: Candidate) -> bool:
        """Whether readers see this content already, verified in the way that is asked for now."""
        wanted = (candidate.digest, self.asset.checks)
        if self.current is None or (self.current.digest, self.current.checks) != wanted:
            return False
        # Made of a new certificate that doesn't show in it: left with the old one's end, it would be due for ever.
        found = candidate.fetched.finding
        return found in (Finding(), Finding(valid_from=self.current.valid_from, expires_at=self.current.expires_at))

    def refuse_known(self, revision: str, *, digest: str | None) -> None:
        """Raise RejectedError for what was refused before under the same checks, unless somebody asked."""
        known = self.ledger.refusal(revision=revision, digest=digest, checks=self.asset.checks)
        if known and self.wish is not Wish.ANEW:
            raise RejectedError(f"refused before, and it is still the same: {known.reason}")

    @contextmanager
    def refusing(self, fetched: Fetched, *, digest: str) -> Iterator[None]:
        """Remember a refusal, so that the same content isn't fetched and judged again and again."""
        try:
            yield
        except RejectedError as error:
            if not fetched.minted:
                refusal = Refusal(revision=fetched.revision, digest=digest, checks=self.asset.checks, reason=str(error))
                self.learn(lambda ledger, _: ledger.with_refusal(refusal))
            raise

    @contextmanager
    def giving_back(self) -> Iterator[None]:
        """Have the lease of what goes no further, whatever the reason, ended."""
        try:
            yield
        except Exception:
            self._give_back()
            raise

    def _give_back(self) -> None:
        if lease := self.new_lease:
            self.learn(lambda ledger, _: ledger.retiring(lease, generation=0))

    @property
    def new_lease(self) -> Lease | None:
        """The lease that came with what was fetched, if that isn't the visible one's, renewed."""
        lease, held = self.answer.lease if isinstance(self.answer, Fetched) else None, self.ledger.lease
        return None if lease and held and lease.id == held.id else lease

    def renewed(self, answer: Fetched) -> None:
        """The lease of what readers see goes on, whatever becomes of what came with it."""
        held = self.ledger.lease
        if answer.lease and held and answer.lease.id == held.id:
            self._of_current(lambda ledger: replace(ledger, lease=answer.lease))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step, or one more part of it, in seconds."""
        began = perf_counter()
        try:
            yield
        finally:
            self.steps[name] = self.steps.get(name, 0.0) + perf_counter() - began

    def unchanged(self, answer: Unchanged) -> Outcome:
        """The source has what is held; perhaps it renewed the lease."""
        self._of_current(
            lambda ledger: replace(ledger, lease=answer.lease or ledger.lease, changes_at=answer.changes_at)
        )
        return self.ended(Result.UNCHANGED)

    def pinned_meanwhile(self) -> Outcome:
        """Somebody put an earlier generation back, and what came goes no further; its lease is given back."""
        self._give_back()
        return self.ended(Result.UNCHANGED)

    def seen_again(self, candidate: Candidate, current: Generation) -> Outcome:
        """Another revision, or another source, with the content that readers see already."""
        fetched = candidate.fetched
        seen = Seen(generation=current.number, revision=fetched.revision, source=self.asset.source)
        self._of_current(lambda ledger: replace(ledger, seen=seen, lease=fetched.lease, changes_at=fetched.changes_at))
        return self.ended(Result.UNCHANGED, candidate=candidate)

    def expect(self, lease: Lease | None, place: Place, *, number: int) -> None:
        """Write down the lease of what is about to come into sight: after a kill behind the flip nobody would know it.

        Raises TransientError or PermanentError.
        """
        before = self.ledger
        self.ledger = before.expecting(lease, generation=number)
        if self.ledger is not before:
            with explained(self.asset.directory):
                place.store.remember(self.ledger, fsync=self.asset.publish.fsync)

    def published(self, generation: Generation, candidate: Candidate) -> Outcome:
        """Readers see the new generation."""
        before, fetched, number = self.current, candidate.fetched, generation.number
        shown_before = before.number if before else self.ledger.shown or 0
        others = tuple(each for each in self.ledger.retired if each.generation != number)
        self.current = generation
        self.ledger = replace(
            replace(self.ledger, retired=others).retiring(self._superseded(fetched.lease), generation=shown_before),
            last_generation=number,
            shown=number,
            seen=None,
            pinned=self.ledger.pinned and number,
            lease=fetched.lease,
            changes_at=fetched.changes_at,
        )
        return self.ended(Result.PUBLISHED, candidate=candidate)

    def _superseded(self, lease: Lease | None) -> Lease | None:
        """The lease so far, unless the new one is the same, renewed."""
        before = self.ledger.lease
        return before if before and not (lease and lease.id == before.id) else None

    @contextmanager
    def concluded(self) -> Iterator[None]:
        """Make an outcome of every error: the one place where errors become values."""
        try:
            yield
        except RejectedError as error:
            self.outcome = self.ended(Result.REJECTED, error=error)
        except RefresherError as error:
            self.outcome = self.ended(Result.FAILED, error=error)
        except Exception as error:  # noqa: BLE001 - a plugin's bug must not stop the schedule
            self.outcome = self.ended(Result.FAILED, error=self._bug(error))

    def ended(
        self, result: Result, *, candidate: Candidate | None = None, error: RefresherError | None = None
    ) -> Outcome:
        """How this refresh ended."""
        return Outcome(
            asset=self.asset.name,
            result=result,
            started_at=self.started_at,
            finished_at=self.clock(),
            generation=self.current.number if self.current else None,
            revision=candidate.fetched.revision if candidate else None,
            error=str(error) if error else None,
            error_class=type(error).__name__ if error else None,
            retry_after=error.retry_after if isinstance(error, TransientError) else None,
            fetched_bytes=self.progress.received,
            steps=dict(self.steps),
            as_of=self.answer.as_of if self.answer and not error else None,
        )

    def remember(self, place: Place) -> None:
        """Write down what was learned, if it is news. A full disk takes the memory, never the files."""
        if self.before is None:
            return
        last, outcome = self.before.ledger.outcome, self.outcome
        if outcome and (last is None or self._is_news(last, outcome)):
            self.ledger = replace(self.ledger, outcome=outcome)
        if self.ledger != self.before.ledger:
            with suppress(OSError):
                place.store.remember(self.ledger, fsync=self.asset.publish.fsync)

    def _is_news(self, last: Outcome, outcome: Outcome) -> bool:
        """Another end; or, where `max_stale` counts, a look that a start should know of."""
        if (last.result, last.error) != (outcome.result, outcome.error):
            return True
        max_stale = self.asset.max_stale
        return max_stale is not None and outcome.finished_at - last.finished_at > max_stale * REMEMBERED_SHARE

    def _bug(self, error: Exception) -> PermanentError:
        log.error("%s: a bug, %s", self.asset.name, places_of(error), extra={"asset": self.asset.name})
        return PermanentError(f"unexpected {type(error).__name__} (a bug; the log says where)")
