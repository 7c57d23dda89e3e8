"""Keeps one asset fresh: decides when, runs the cycle, has the app told, and answers those who asked."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from threading import Lock

from refresher.cycle import begin, go_back, refresh, tidy, unpin
from refresher.drift import Sight, sight
from refresher.due import Due, due
from refresher.errors import RefresherError
from refresher.model import AssetState, Clock, Outcome, Result
from refresher.record import Record
from refresher.teller import Clockwork, Reporter, Tellers

log = logging.getLogger("refresher")


@dataclass(frozen=True, slots=True)
class Request:
    """A refresh that somebody asked for: `visible` once it has ended, `told` once telling of it was tried."""

    visible: Future[Outcome] = field(default_factory=Future)
    told: Future[bool] = field(default_factory=Future)


class Keeper:
    """Keeps one asset fresh, in actions that the clockwork runs; never two refreshes at once."""

    def __init__(
        self,
        record: Record,
        *,
        tellers: Tellers,
        clockwork: Clockwork,
        clock: Clock,
        seed: str,
        reporter: Reporter,
    ) -> None:
        self.asset = record.asset
        self._clockwork, self._clock, self._seed, self._reporter = clockwork, clock, seed, reporter
        self._record, self._tellers = record, tellers
        self._lock = Lock()
        self._waiting: Request | None = None
        self._running: Request | None = None
        self._wanted = False
        self._busy = False
        self._wishes = count()
        self._sight: Sight = {}

    def start(self) -> None:
        """Use what is on the volume, have the app told of it, and arm the first refresh. Nothing is fetched for it."""
        try:
            self._record.found(begin(self.asset))
        except RefresherError as error:
            log.warning("%s: %s", self.asset.name, error, extra={"asset": self.asset.name})
        self._remember_sight()
        self._arm()
        if self._record.holding.current:
            self._clockwork.at(f"tell {self.asset.name}", self._clock(), self._tell)
            self._clockwork.at(f"tidy {self.asset.name}", self._clock(), self._tidy)

    def request(self) -> Request:
        """Ask for a refresh now. Who asks while somebody else's is waiting or running shares it."""
        with self._lock:
            if self._running and not self._running.visible.done():
                return self._running
            if self._waiting is None:
                self._waiting = Request()
            request = self._waiting
        self.look_now()
        return request

    def look_now(self) -> None:
        """Look at the source now: somebody asked, or something may have changed there."""
        with self._lock:
            self._wanted = True
        self._clockwork.at(self._key, self._clock(), self._refresh)

    def look_over(self) -> None:
        """See whether readers still see what was published; what was broken is repaired, or else fetched again."""
        current = self._record.holding.current
        if current is None or self._busy or sight(self.asset, current) == self._sight:
            return
        try:
            holding = begin(self.asset)
        except RefresherError as error:
            log.warning("%s: %s", self.asset.name, error, extra={"asset": self.asset.name})
            return
        self._record.holds(holding)
        self._remember_sight()
        what = "was repaired" if holding.current else "is damaged, and fetched again"
        log.warning("%s: generation %d was changed by somebody, and %s", self.asset.name, current.number, what)
        self._arm()

    def go_back(self, *, to: int | None) -> Future[None]:
        """Put an earlier generation back and pin it; the future has the error if that isn't possible."""

        def act() -> None:
            back = go_back(self.asset, to=to, clock=self._clock)
            if back.holding:
                self._record.rolled_back(back.outcome, back.holding)
            self._reporter.refreshed(back.outcome, None)

        return self._by_hand(act)

    def unpin(self) -> Future[None]:
        """Follow the source again, and look at it now."""

        def act() -> None:
            self._record.holds(unpin(self.asset))
            self.look_now()

        return self._by_hand(act)

    def state(self) -> AssetState:
        """How the asset stands."""
        return self._record.state(self._clock())

    @property
    def _key(self) -> str:
        return f"refresh {self.asset.name}"

    def _refresh(self) -> None:
        with self._lock:
            request, self._waiting, self._wanted = self._waiting, None, False
            self._running, self._busy = request, True
        try:
            outcome = self._refresh_once(asked=request is not None)
        finally:
            self._remember_sight()
            planned = self._arm()
            self._busy = False
        self._reporter.refreshed(outcome, planned)
        if request:
            request.visible.set_result(outcome)
        # Otherwise the tellers' own back-off says when: a source that is polled must not hammer an app that is down.
        if request or outcome.result is Result.PUBLISHED:
            heard = self._tellers.changed(self.asset)
            if request:
                heard.add_done_callback(lambda done: request.told.set_result(done.result()))
        if outcome.result is Result.PUBLISHED:
            self._tidy()

    def _refresh_once(self, *, asked: bool) -> Outcome:
        refreshed = refresh(self.asset, asked=asked, clock=self._clock)
        self._record.ended(refreshed.outcome, refreshed.holding)
        return refreshed.outcome

    def _arm(self) -> Due | None:
        planned = due(self.asset.refresh, self._record.standing, now=self._clock(), seed=self._seed)
        self._record.planned(planned)
        with self._lock:
            # What somebody wants is armed for now already, and the latest call would win over it.
            if planned and not self._wanted:
                self._clockwork.at(self._key, planned.at, self._refresh)
        return planned

    def _remember_sight(self) -> None:
        current = self._record.holding.current
        self._sight = sight(self.asset, current) if current else {}

    def _tell(self) -> None:
        self._tellers.changed(self.asset)

    def _by_hand(self, act: Callable[[], None]) -> Future[None]:
        done: Future[None] = Future()

        def action() -> None:
            try:
                act()
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                done.set_exception(error)
                return
            self._remember_sight()
            self._arm()
            done.set_result(None)
            self._tell()
            self._tidy()

        # A key of its own: the latest call for a key wins, and nobody's wish may be lost to another's.
        self._clockwork.at(f"by hand {next(self._wishes)} {self.asset.name}", self._clock(), action)
        return done

    def _tidy(self) -> None:
        try:
            again_at = tidy(self.asset, clock=self._clock)
        except RefresherError as error:
            log.warning("%s: %s", self.asset.name, error, extra={"asset": self.asset.name})
        else:
            if again_at:
                self._clockwork.at(f"tidy {self.asset.name}", again_at, self._tidy)
