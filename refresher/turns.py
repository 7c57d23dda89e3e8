"""One asset's way to its endpoint: the turn before a refresh, what was learned in it, and how both are shown.

And that of who waits at the asset's source: a turn only to begin, and what was learned when the wait is over.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from refresher.circuit import ONCE_IT_ANSWERS, Need
from refresher.due import earliest_end, retry_draw, shortest_interval
from refresher.endpoint import Answered, Endpoint, Turn, Unavailable
from refresher.errors import UnavailableError
from refresher.model import Clock, Outcome
from refresher.record import Record
from refresher.state import AssetState

WHY = "endpoint"
"""What `why_next` says of a refresh that the endpoint puts off: the schedule itself knows nothing of it."""


class Turns:
    """Gives one asset its turns; `wake` is called when one that was not to be had may be."""

    def __init__(self, record: Record, endpoint: Endpoint, *, seed: str, wake: Callable[[], None]) -> None:
        self._record, self._endpoint, self._seed, self._wake = record, endpoint, seed, wake

    def next(self) -> Turn | None:
        """The turn to ask, None if others go first."""
        return self._endpoint.turn(self._record.asset.name, need=self._need(), wake=self._wake)

    def by_hand(self) -> Turn | None:
        """The turn of one who doesn't stand in line, None if as many ask as may."""
        return self._endpoint.turn_by_hand(self._record.asset.name, wake=self._wake)

    def learn(self, turn: Turn, outcome: Outcome) -> None:
        """Have all who ask there wait, if it was the endpoint that failed: as long as the asset does for itself.

        Where none is named, there is nobody else: one of several servers may be away, and the others must go on having
        their leases ended.
        """
        if not self._endpoint.address or outcome.error_class != UnavailableError.__name__:
            return
        standing = self._record.standing
        failed = Unavailable(
            at=outcome.looked_at,
            failures=standing.failures,
            draw=retry_draw(standing, self._seed),
            retry_after=outcome.retry_after,
            need=self._need(),
        )
        turn.failed(failed)

    def leave(self) -> None:
        """Stand in no line any more."""
        self._endpoint.leave(self._record.asset.name)

    def shown(self, state: AssetState) -> AssetState:
        """How the asset stands, with its endpoint, which may put its next refresh off."""
        state, planned = replace(state, endpoint=self._endpoint.state()), state.next_refresh_at
        until = self._endpoint.until(self._need())
        if until and planned and until > planned:
            return replace(state, next_refresh_at=until, why_next=WHY)
        return state

    def _need(self) -> Need:
        """What is said to change at the source is needed then: a password that it rotates ends with that."""
        standing = self._record.standing
        ends = [end for end in (earliest_end(standing), standing.changes_at) if end]
        return Need(ends_at=min(ends, default=None), every=shortest_interval(self._record.asset.refresh, standing))


class Waits:
    """Gives one who waits at an asset's source his turns to begin, once the endpoint answers; `wake` as for `Turns`.

    An answer that is held back for minutes says nothing meanwhile. So it takes nobody's place, and is no way to find
    out whether the endpoint answers again: that is a `look` at the asset, which stands in line as all looks do.
    """

    def __init__(
        self, asset: str, endpoint: Endpoint, *, clock: Clock, look: Callable[[], None], wake: Callable[[], None]
    ) -> None:
        self._asset, self._endpoint, self._clock, self._look, self._wake = asset, endpoint, clock, look, wake
        # Not the asset's own name, under which its looks stand in line, nor that of who waited before a reload.
        self._name = f"wait {id(self)} {asset}"

    def next(self) -> Turn | None:
        """The turn to begin in, over already; None: he is woken, and whether it answers is found out meanwhile."""
        turn = self._endpoint.turn(self._name, need=ONCE_IT_ANSWERS, wake=self._wake)
        if turn:
            with turn:
                return turn
        if self._endpoint.until():
            self._look()
        return None

    def answered(self, turn: Turn) -> None:
        """The wait that began in this turn ended as it should."""
        self._endpoint.hear(turn, Answered())

    def failed(self, turn: Turn, *, failures: int, draw: float, retry_after: timedelta | None) -> None:
        """It was the endpoint that failed: all wait until it answers, as after a look. As `Unavailable`."""
        if not self._endpoint.address:
            return
        failed = Unavailable(
            at=self._clock(),
            failures=failures,
            draw=draw,
            asset=self._asset,
            retry_after=retry_after,
            need=ONCE_IT_ANSWERS,
        )
        self._endpoint.hear(turn, failed)
        self._look()

    def leave(self) -> None:
        """Stand in no line any more."""
        self._endpoint.leave(self._name)
