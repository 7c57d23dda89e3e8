"""Keeps one asset fresh: decides when, runs the cycle, has the app told, and answers those who asked."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from itertools import count
from threading import Lock

from refresher.asked import Asked, Request
from refresher.cycle import begin, refresh
from refresher.endpoint import Endpoint, Turn
from refresher.errors import RefresherError, TransientError
from refresher.housekeeping import AGAIN, Housekeeping
from refresher.ledger import Refreshed
from refresher.lookout import Lookout
from refresher.model import Clock, Outcome, Result, Wish
from refresher.record import Record
from refresher.rollback import go_back, obey, unpin
from refresher.schedule import Schedule
from refresher.state import AssetState
from refresher.teller import Reporter, Tellers
from refresher.term import Clockwork, Term
from refresher.turns import Turns, Waits

log = logging.getLogger("refresher")

PATIENCE = 10.0
"""Seconds that a rollback waits for a refresh that is under way."""


class Keeper:
    """Keeps one asset fresh, in actions that the clockwork runs; never two that touch its files at once.

    It can be replaced while they run: the next keeper of the same files joins and starts once `retire` is done.
    """

    def __init__(
        self,
        record: Record,
        *,
        tellers: Tellers,
        endpoint: Endpoint,
        clockwork: Clockwork,
        clock: Clock,
        seed: str,
        reporter: Reporter,
    ) -> None:
        self.asset = record.asset
        self._record, self._tellers, self._clock, self._reporter = record, tellers, clock, reporter
        self._endpoint = endpoint
        self._term, self._asked, self._lookout = Term(clockwork), Asked(), Lookout(record)
        self._schedule = Schedule(
            record,
            asked=self._asked,
            term=self._term,
            clock=clock,
            seed=seed,
            refresh=self._refresh,
            look=self._look,
        )
        self._turns = Turns(record, endpoint, seed=seed, wake=self._schedule.now)
        self._housekeeping = Housekeeping(self.asset, endpoint=endpoint, term=self._term, clock=clock)
        self._fetching = Lock()  # held during a refresh, from its beginning to what follows it
        self._at_work = Lock()  # held while the files are touched
        self._successor: Keeper | None = None
        self._acts = count()

    def join(self) -> None:
        """Have the app told of this asset, whose files are this keeper's from now on."""
        self._tellers.join(self._record, rolled_back=self.was_rolled_back)

    def start(self) -> None:
        """Use what is on the volume, have the app told of it, and arm the first refresh; in an action of its own."""
        self._term.at(f"begin {self.asset.name}", self._clock(), self._begin)
        self._term.begin()

    def retire(self) -> Future[bool]:
        """Begin nothing more. Done once nothing that is under way touches the files, or tells of them, any more."""
        left: Future[bool] = Future()

        def part(_: object) -> None:
            self._turns.leave()
            self._tellers.leave(self._record).add_done_callback(lambda _: left.set_result(True))

        self._term.end().add_done_callback(part)
        return left

    def hand_over(self, successor: "Keeper | None") -> None:
        """Leave to the asset's next keeper how it stands and who waits; without one, tell them that nobody comes."""
        self._successor = successor  # first: from the next line on, who asks here is sent there
        request, is_wanted = self._asked.given_up()
        if successor is None:
            if request:
                self._refused(request)
            return
        if successor.asset.directory == self.asset.directory:
            successor._record.inherit(self._record)
        if successor.asset.checks != self.asset.checks and self._record.standing.result is Result.REJECTED:
            successor.look_now()
        if request:
            successor._asked.inherit(request)
        if request or is_wanted:
            successor.look_now()

    def request(self) -> Request:
        """Ask for a refresh now. Who asks while somebody else's is waiting or running shares it."""
        if running := self._asked.running():
            return running
        if request := self._asked.request():
            self._schedule.now()
            return request
        return self._successor.request() if self._successor else self._refused(Request())

    def look_now(self) -> None:
        """Look at the source now, because something may have changed there."""
        if self._asked.look():
            self._schedule.now()
        elif self._successor:
            self._successor.look_now()

    def waits(self, wake: Callable[[], None]) -> Waits:
        """The turns of one who waits at the source; `wake` is called when one that was not to be had may be."""
        return Waits(self.asset.name, self._endpoint, clock=self._clock, look=self.look_now, wake=wake)

    def look_over(self) -> None:
        """See whether readers still see what was published; what was broken is repaired, or else fetched again."""
        self._term.act(self._look_over)

    def go_back(self, *, to: int | None) -> Future[None]:
        """Put an earlier generation back and pin it; the future has the error if that isn't possible."""
        return self._by_hand(lambda: self._note_rollback(go_back(self.asset, to=to, clock=self._clock)))

    def unpin(self) -> Future[None]:
        """Follow the source again, and look at it now."""

        def act() -> None:
            self._record.holds(unpin(self.asset))
            self.look_now()

        return self._by_hand(act)

    def lay_down(self, *, within: float) -> None:
        """Begin nothing more with the files; what is being made visible is waited for, `within` seconds at most."""
        # Never released: the process ends, and a refresh that got as far as this must not begin to publish meanwhile.
        self._at_work.acquire(timeout=within)

    def was_rolled_back(self) -> None:
        """Take note that the app had the previous generation put back."""
        self._lookout.remember()
        self._schedule.next()
        self._housekeeping.release()

    def state(self) -> AssetState:
        """How the asset stands."""
        return self._turns.shown(self._schedule.shown(self._record.state(self._clock())))

    def _refused(self, request: Request) -> Request:
        name, now, gone = self.asset.name, self._clock(), "it was taken out of the configuration"
        request.refuse(Outcome(asset=name, result=Result.FAILED, started_at=now, finished_at=now, error=gone))
        return request

    def _look_over(self) -> None:
        if self._lookout.sees_drift() and self._at_work.acquire(blocking=False):
            try:
                # Seen once more: it may have been ours, on its way to be visible.
                if self._lookout.sees_drift() and self._lookout.repair():
                    self._schedule.next()
            finally:
                self._at_work.release()

    def _begin(self) -> None:
        with self._at_work:
            try:
                self._record.found(begin(self.asset))
                self._note_rollback(obey(self.asset, clock=self._clock))
            except RefresherError as error:
                self._warn(error)
                self._term.at(f"begin {self.asset.name}", self._clock() + AGAIN, self._begin)
            self._lookout.remember()
        self._schedule.next()
        if self._record.holding.current:
            self._tellers.changed(self.asset)
            self._housekeeping.tidy()
            self._housekeeping.release()

    def _look(self) -> None:
        """A refresh, unless one is under way: that sees as much, and arms the next look."""
        if not self._fetching.locked():
            self._refresh()

    def _refresh(self) -> None:
        # Two keys lead here, and two fetches at once would make two of what is made anew.
        with self._fetching:
            # Who asks by hand stands in no line.
            turn = self._turns.by_hand() if self._asked.is_waiting() else self._turns.next()
            if turn:
                with turn:
                    self._refresh_alone(turn)
        if turn:
            # A look that came after the next one was armed found this refresh under way still, and saw nothing.
            self._schedule.next_look()

    def _refresh_alone(self, turn: Turn) -> None:
        request = self._asked.begin()
        retired = self._record.holding.ledger.retired
        try:
            outcome = self._refreshed(Wish.ANEW if request else self._schedule.wish(), turn)
        except BaseException as error:
            if request:
                request.visible.set_exception(error)
            raise
        if request:
            request.visible.set_result(outcome)
        self._tell(request, outcome)
        if outcome.result is Result.PUBLISHED:
            self._housekeeping.tidy()
        # Only for news: what couldn't be ended is armed for later, and no look may bring that forward.
        if self._record.holding.ledger.retired not in ((), retired):
            self._housekeeping.release()

    def _refreshed(self, wish: Wish, turn: Turn) -> Outcome:
        with ExitStack() as alone:
            try:
                refreshed = refresh(
                    self.asset,
                    wish=wish,
                    clock=self._clock,
                    progress=self._record.progress,
                    answered=turn.answered,
                    # From then on until it is noted what came of it: fetching itself holds up nobody.
                    alone=partial(alone.enter_context, self._at_work),
                )
                self._record.ended(refreshed.outcome, refreshed.holding)
                self._turns.learn(turn, refreshed.outcome)
                # Not after an unchanged look: what somebody broke meanwhile would pass for what was published.
                if refreshed.outcome.result is Result.PUBLISHED:
                    self._lookout.remember()
            finally:
                planned = self._schedule.next()
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

    def _note_rollback(self, back: Refreshed | None) -> None:
        if back and back.holding:
            self._record.rolled_back(back.outcome, back.holding)
            self._reporter.refreshed(back.outcome, None)

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
            self._housekeeping.tidy()
            self._housekeeping.release()

        # A key of its own: the latest call for a key wins, and nobody's wish may be lost to another's.
        if not self._term.surely(f"by hand {next(self._acts)} {self.asset.name}", self._clock(), action):
            done.set_exception(TransientError("its configuration has just changed; ask again in a moment"))
        return done

    def _act(self, act: Callable[[], None]) -> None:
        if not self._at_work.acquire(timeout=PATIENCE):
            raise TransientError("a refresh of this asset is under way; ask again when it has ended")
        try:
            act()
            self._lookout.remember()
            self._schedule.next()
        finally:
            self._at_work.release()

    def _warn(self, error: RefresherError) -> None:
        log.warning("%s: %s", self.asset.name, error, extra={"asset": self.asset.name})
