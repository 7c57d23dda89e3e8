"""Keeps one asset fresh: decides when, runs the cycle, has the app told, and answers those who asked."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from threading import Lock

from refresher.cycle import begin, refresh, release, tidy
from refresher.drift import Sight, sight
from refresher.due import Due, due, look_at
from refresher.errors import RefresherError, TransientError
from refresher.ledger import Holding, Refreshed
from refresher.model import Clock, Generation, Outcome, Result, Wish
from refresher.record import Record
from refresher.renewal import is_renewal_due, renewal_at
from refresher.rollback import go_back, obey, unpin
from refresher.state import AssetState
from refresher.teller import Clockwork, Reporter, Tellers

log = logging.getLogger("refresher")

AGAIN = timedelta(seconds=30)
"""Before the volume, which could not be used, is tried again for what isn't a refresh."""
PATIENCE = 10.0
"""Seconds that a rollback waits for a refresh that is under way."""


@dataclass(frozen=True, slots=True)
class Request:
    """A refresh that somebody asked for: `visible` once it has ended, `told` once telling of it was tried."""

    visible: Future[Outcome] = field(default_factory=Future)
    told: Future[bool] = field(default_factory=Future)


class Keeper:
    """Keeps one asset fresh, in actions that the clockwork runs; never two that touch its files at once."""

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
        self._fetching = Lock()  # held during a refresh, from its beginning to what follows it
        self._at_work = Lock()  # held while the files are touched
        self._lock = Lock()  # held for moments, over what follows
        self._waiting: Request | None = None
        self._running: Request | None = None
        self._wanted = False
        self._acts = count()
        self._sight: Sight = {}

    def start(self) -> None:
        """Use what is on the volume, have the app told of it, and arm the first refresh; in an action of its own."""
        self._clockwork.at(f"begin {self.asset.name}", self._clock(), self._begin)

    def request(self) -> Request:
        """Ask for a refresh now. Who asks while somebody else's is waiting or running shares it."""
        with self._lock:
            if self._running and not self._running.visible.done():
                return self._running
            self._waiting = self._waiting or Request()
            self._wanted = True
            request = self._waiting
        self._clockwork.at(self._key, self._clock(), self._refresh)
        return request

    def look_now(self) -> None:
        """Look at the source now, because something may have changed there."""
        with self._lock:
            self._wanted = True
        self._clockwork.at(self._key, self._clock(), self._refresh)

    def look_over(self) -> None:
        """See whether readers still see what was published; what was broken is repaired, or else fetched again."""
        current = self._record.holding.current
        if current is None or sight(self.asset, current) == self._sight:
            return
        if self._at_work.acquire(blocking=False):
            try:
                self._repair(current)
            finally:
                self._at_work.release()

    def go_back(self, *, to: int | None) -> Future[None]:
        """Put an earlier generation back and pin it; the future has the error if that isn't possible."""
        return self._by_hand(lambda: self._note_rollback(go_back(self.asset, to=to, clock=self._clock)))

    def unpin(self) -> Future[None]:
        """Follow the source again, and look at it now."""

        def act() -> None:
            self._record.holds(unpin(self.asset))
            self.look_now()

        return self._by_hand(act)

    def was_rolled_back(self) -> None:
        """Take note that the app had the previous generation put back."""
        self._remember_sight()
        self._arm()
        self._release()

    def state(self) -> AssetState:
        """How the asset stands."""
        now = self._clock()
        renewal = renewal_at(self.asset.refresh, self._record.standing, now=now, seed=self._seed)
        return replace(self._record.state(now), renewal_at=renewal)

    @property
    def _key(self) -> str:
        return f"refresh {self.asset.name}"

    def _begin(self) -> None:
        with self._at_work:
            try:
                self._record.found(begin(self.asset))
                self._note_rollback(obey(self.asset, clock=self._clock))
            except RefresherError as error:
                self._warn(error)
                self._clockwork.at(f"begin {self.asset.name}", self._clock() + AGAIN, self._begin)
            self._remember_sight()
        self._arm()
        if self._record.holding.current:
            self._tellers.changed(self.asset)
            self._tidy()
            self._release()

    def _look(self) -> None:
        """A refresh, unless one is under way: that sees as much, and arms the next look."""
        if not self._fetching.locked():
            self._refresh()

    def _refresh(self) -> None:
        # Two keys lead here, and two fetches at once would make two of what is made anew.
        with self._fetching:
            self._refresh_alone()
        # A look that came after the next one was armed found this refresh under way still, and saw nothing.
        self._arm_look()

    def _refresh_alone(self) -> None:
        with self._lock:
            request, self._waiting, self._wanted = self._waiting, None, False
            self._running = request
        retired = self._record.holding.ledger.retired
        try:
            outcome = self._refreshed(Wish.ANEW if request else self._wish())
        except BaseException as error:
            if request:
                request.visible.set_exception(error)
            raise
        if request:
            request.visible.set_result(outcome)
        self._tell(request, outcome)
        if outcome.result is Result.PUBLISHED:
            self._tidy()
        # Only for news: what couldn't be ended is armed for later, and no look may bring that forward.
        if self._record.holding.ledger.retired not in ((), retired):
            self._release()

    def _wish(self) -> Wish:
        standing, now = self._record.standing, self._clock()
        is_due = is_renewal_due(self.asset.refresh, standing, now=now, seed=self._seed)
        return Wish.RENEW if is_due else Wish.LOOK

    def _refreshed(self, wish: Wish) -> Outcome:
        with ExitStack() as alone:
            try:
                refreshed = refresh(
                    self.asset,
                    wish=wish,
                    clock=self._clock,
                    progress=self._record.progress,
                    # From then on until it is noted what came of it: fetching itself holds up nobody.
                    alone=partial(alone.enter_context, self._at_work),
                )
                self._record.ended(refreshed.outcome, refreshed.holding)
                # Not after an unchanged look: what somebody broke meanwhile would pass for what was published.
                if refreshed.outcome.result is Result.PUBLISHED:
                    self._remember_sight()
            finally:
                planned = self._arm()
        self._reporter.refreshed(refreshed.outcome, planned)
        return refreshed.outcome

    def _tell(self, request: Request | None, outcome: Outcome) -> None:
        """Tell of news, and for who asked. Else the tellers' back-off says when: polling must not hammer an app."""
        if request is None and outcome.result is not Result.PUBLISHED:
            self._tellers.remind(self.asset)
            return
        heard = self._tellers.changed(self.asset)
        if request:
            heard.add_done_callback(lambda done: request.told.set_result(done.result()))

    def _arm(self) -> Due | None:
        planned = due(self.asset.refresh, self._record.standing, now=self._clock(), seed=self._seed)
        self._record.planned(planned)
        with self._lock:
            # What somebody wants is armed for now already, and the latest call would win over it.
            if planned and not self._wanted:
                self._clockwork.at(self._key, planned.at, self._refresh)
        self._arm_look()
        return planned

    def _arm_look(self) -> None:
        if look := look_at(self.asset.refresh, self._record.standing, now=self._clock(), seed=self._seed):
            self._clockwork.at(f"look {self.asset.name}", look, self._look)

    def _note_rollback(self, back: Refreshed | None) -> None:
        if back and back.holding:
            self._record.rolled_back(back.outcome, back.holding)
            self._reporter.refreshed(back.outcome, None)

    def _remember_sight(self) -> None:
        current = self._record.holding.current
        self._sight = sight(self.asset, current) if current else {}

    def _repair(self, current: Generation) -> None:
        try:
            holding = begin(self.asset)
        except RefresherError as error:
            self._warn(error)
            if isinstance(error, TransientError):
                return
            holding = Holding(ledger=self._record.holding.ledger)  # broken beyond repair: nothing is ready
        self._record.holds(holding)
        self._remember_sight()
        what = "was repaired" if holding.current else "is damaged, and fetched again"
        name = self.asset.name
        log.warning(
            "%s: generation %d was changed by somebody, and %s", name, current.number, what, extra={"asset": name}
        )
        self._arm()

    def _by_hand(self, act: Callable[[], None]) -> Future[None]:
        done: Future[None] = Future()

        def action() -> None:
            try:
                self._act(act)
            except Exception as error:  # noqa: BLE001 - whoever asked gets it
                done.set_exception(error)
                return
            done.set_result(None)
            self._tellers.changed(self.asset)
            self._tidy()
            self._release()

        # A key of its own: the latest call for a key wins, and nobody's wish may be lost to another's.
        self._clockwork.at(f"by hand {next(self._acts)} {self.asset.name}", self._clock(), action)
        return done

    def _act(self, act: Callable[[], None]) -> None:
        if not self._at_work.acquire(timeout=PATIENCE):
            raise TransientError("a refresh of this asset is under way; ask again when it has ended")
        try:
            act()
            self._remember_sight()
            self._arm()
        finally:
            self._at_work.release()

    def _tidy(self) -> None:
        self._repeat("tidy", tidy, self._tidy)

    def _release(self) -> None:
        """In an action of its own: a source that doesn't answer must not hold up the refresh."""
        self._clockwork.at(f"release {self.asset.name}", self._clock(), self._released)

    def _released(self) -> None:
        self._repeat("release", release, self._released)

    def _repeat(self, verb: str, act: Callable[..., datetime | None], action: Callable[[], None]) -> None:
        """Act now, and have the action run again when `act` says so, or soon if the volume could not be used."""
        again_at: datetime | None = self._clock() + AGAIN
        try:
            again_at = act(self.asset, clock=self._clock)
        except RefresherError as error:
            self._warn(error)
        if again_at:
            self._clockwork.at(f"{verb} {self.asset.name}", again_at, action)

    def _warn(self, error: RefresherError) -> None:
        log.warning("%s: %s", self.asset.name, error, extra={"asset": self.asset.name})
