"""How one asset stands, as far as this process saw it: what status shows and the schedule is computed from."""

from collections import deque
from dataclasses import replace
from datetime import datetime
from threading import Lock

from refresher.due import Due
from refresher.errors import PermanentError
from refresher.ledger import Holding
from refresher.model import Asset, Outcome
from refresher.notify import untold
from refresher.standing import GOOD, Standing, after, standing_of
from refresher.state import AssetState
from refresher.traffic import Progress

HISTORY = 20
"""Outcomes that status shows."""


class Record:
    """Notes what happens to one asset, under a lock: the API reads while a refresh writes."""

    def __init__(self, asset: Asset, *, started_at: datetime) -> None:
        self.asset, self.progress = asset, Progress()
        self._started_at = started_at
        self._lock = Lock()
        self._holding = Holding()
        self._standing = Standing(asset=asset.name, started_at=started_at)
        self._due: Due | None = None
        self._history: deque[Outcome] = deque(maxlen=HISTORY)
        self._last_success_at: datetime | None = None

    @property
    def holding(self) -> Holding:
        """What is held."""
        with self._lock:
            return self._holding

    @property
    def standing(self) -> Standing:
        """What the schedule needs to know."""
        with self._lock:
            return self._standing

    def inherit(self, before: "Record") -> None:
        """Stand as the asset did when it was configured otherwise, until it is found what is on the volume."""
        with before._lock:
            holding, history, success_at = before._holding, tuple(before._history), before._last_success_at
        with self._lock:
            self._holding, self._last_success_at = holding, success_at
            self._history.extend(history)
            self._standing = standing_of(self.asset, holding, started_at=self._started_at)

    def found(self, holding: Holding) -> None:
        """Note what a start found on the volume, the last outcome before it included."""
        with self._lock:
            self._holding = holding
            self._standing = standing_of(self.asset, holding, started_at=self._started_at)
            last = holding.ledger.outcome
            if last and last not in self._history:
                self._history.append(last)
                self._last_success_at = last.finished_at if last.result in GOOD else None

    def holds(self, holding: Holding) -> None:
        """Note what is held after a telling, a rollback or a repair; not what was read before the last publish."""
        with self._lock:
            if holding.ledger.last_generation < self._holding.ledger.last_generation:
                return
            self._holding = holding
            self._standing = self._seen(self._standing)

    def ended(self, outcome: Outcome, holding: Holding | None) -> None:
        """Note how a refresh ended."""
        good = outcome.result in GOOD
        self.progress.expect(0)
        with self._lock:
            self._holding = holding or self._holding
            attempted = after(
                self.asset.refresh,
                self._standing,
                outcome.result,
                at=outcome.looked_at,
                permanent=outcome.error_class == PermanentError.__name__,
                retry_after=outcome.retry_after,
            )
            self._standing = self._seen(attempted)
            self._history.append(outcome)
            self._last_success_at = outcome.finished_at if good else self._last_success_at

    def rolled_back(self, outcome: Outcome, holding: Holding) -> None:
        """Note that an earlier generation was put back; a failure, if the app wanted it (`outcome.error`)."""
        self.holds(holding)
        with self._lock:
            self._history.append(outcome)
            if outcome.error:
                failures = self._standing.failures + 1
                self._standing = replace(
                    self._standing, result=outcome.result, last_attempt_at=outcome.finished_at, failures=failures
                )

    def planned(self, due: Due | None) -> None:
        """Note when the next refresh is due."""
        with self._lock:
            self._due = due

    def is_ready(self, now: datetime) -> bool:
        """Whether there is a generation that is neither expired nor older than `max_stale`."""
        with self._lock:
            return self._is_ready(now)

    def state(self, now: datetime) -> AssetState:
        """How the asset stands."""
        with self._lock:
            current, ledger, standing, due = self._holding.current, self._holding.ledger, self._standing, self._due
            last = self._history[-1] if self._history else None
            return AssetState(
                asset=self.asset.name,
                required=self.asset.required,
                result=last.result if last else None,
                generation=current.number if current else None,
                revision=ledger.source_and_revision(current)[1] if current else None,
                digest=current.digest if current else None,
                files={name: file.digest for name, file in current.files.items()} if current else {},
                published_at=current.published_at if current else None,
                expires_at=self._holding.expires_at,
                next_refresh_at=due.at if due else None,
                why_next=due.why if due else None,
                notified_generation=self._notified(),
                refused=self._holding.refused,
                pinned=standing.pinned,
                error=last.error if last else None,
                last_attempt_at=standing.last_attempt_at,
                last_success_at=self._last_success_at,
                consecutive_failures=standing.failures,
                ready=self._is_ready(now),
                history=tuple(self._history),
                transfer=self.progress.transfer(),
            )

    def _seen(self, attempted: Standing) -> Standing:
        """What is held now, and what is known of attempts."""
        return replace(
            standing_of(self.asset, self._holding, started_at=self._started_at),
            last_attempt_at=attempted.last_attempt_at,
            result=attempted.result,
            permanent=attempted.permanent,
            retry_after=attempted.retry_after,
            failures=attempted.failures,
            out_of_turn=attempted.out_of_turn,
        )

    def _is_ready(self, now: datetime) -> bool:
        expires_at, max_stale = self._holding.expires_at, self.asset.max_stale
        if self._holding.current is None or (expires_at is not None and expires_at <= now):
            return False
        looked_at = self._last_success_at or self._holding.current.fetched_at
        return max_stale is None or now - looked_at <= max_stale

    def _notified(self) -> int | None:
        """The generation that every notifier has told of; without notifiers, the visible one."""
        current, told = self._holding.current, self._holding.ledger.told
        if current is None or not untold(self.asset, self._holding):
            return current.number if current else None
        known = [told[named.key].generation for named in self.asset.notifiers if named.key in told]
        return (min(known) or None) if len(known) == len(self.asset.notifiers) else None
