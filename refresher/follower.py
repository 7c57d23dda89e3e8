"""Has an asset looked at as soon as its source has something else: waits there, in a thread of its own.

    turn --> wait --something else--> look now
      ^-------pause, longer the more waits are in vain, cut short when its server answers again

Waiting is a courtesy of the source's. The interval goes on beside it, and finds whatever was missed. While the source's
server doesn't answer nobody waits there: looks find out when it does (`turns.Waits`).
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Event, Lock, Thread
from time import monotonic

from refresher.abilities import HELD, Follow, Following
from refresher.bug import places_of
from refresher.due import LONGEST, OBEYED, backoff
from refresher.endpoint import Turn, Wake
from refresher.errors import PermanentError, RefresherError, UnavailableError
from refresher.model import Asset
from refresher.renewal import unit
from refresher.state import AssetState
from refresher.turns import Waits

log = logging.getLogger("refresher")

FLOOR = 1.0
"""Seconds from one wait's beginning to the next one's, at the least."""
PATIENT = 30.0
"""Seconds after which a wait that breaks off is nobody's trouble: proxies cut off who is silent for long."""
SPREAD = 3
"""A pause after trouble is longer by up to so many times: a server that comes back isn't met by all at once."""
TELLING = 3
"""Waits in vain in a row, after which somebody should know."""


class Pace:
    """How long to pause after each wait: arithmetic. `seed` tells pods apart; `vain` counts waits in vain in a row."""

    def __init__(self, *, seed: str, asset: str) -> None:
        self._seed, self._asset = seed, asset
        self.vain = 0

    def waited(self, lasted: float, *, published: bool) -> timedelta:
        """After a wait of `lasted` seconds; `published`: something was, since the one before it began.

        One that is soon over, again and again, and for nothing, is no wait: the server ignores the wish, or several
        servers behind one address name the same content differently.
        """
        self.vain = 0 if published or lasted >= HELD else self.vain + 1
        return timedelta(seconds=max(FLOOR - lasted, 0)) if self.vain <= 1 else backoff(self.vain, self.draw())

    def failed(self, lasted: float, error: RefresherError) -> timedelta:
        """After a wait that ended so. A `Retry-After` is obeyed, for an hour at the most."""
        if isinstance(error, PermanentError):
            self.vain = max(self.vain + 1, TELLING)
            return LONGEST * (1 - self.draw() / 4)
        self.vain = 0 if lasted >= PATIENT else self.vain + 1
        pause = min(backoff(self.vain, 0) * (1 + SPREAD * self.draw()), LONGEST)
        return max(pause, min(getattr(error, "retry_after", None) or pause, OBEYED))

    def draw(self) -> float:
        """Where this asset of this pod lies in what is left to chance (0 to 1), after so many in vain."""
        return unit(self._seed, self._asset, "follow", self.vain)


class Follower:
    """Waits at one asset's source, or the one of several with this `name`, and calls `look` for something else there.

    `waits` makes the turns to begin in, `state` answers how the asset stands, `clock` seconds that only rise.
    """

    def __init__(
        self,
        asset: Asset,
        source: Following,
        *,
        waits: Callable[[Wake], Waits],
        look: Callable[[], None],
        state: Callable[[], AssetState],
        seed: str,
        name: str = "",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._asset, self._source, self._look, self._state = asset.name, source, look, state
        self._clock = clock
        self._pace = Pace(seed=seed, asset=f"{asset.name} {name}".rstrip())
        self._where = f"{name}: " if name else ""
        self._generation: int | None = None
        self._said_in_vain = False
        self._lock = Lock()
        self._stopped, self._bell = Event(), Event()
        self._waits = waits(self._bell.set)
        self._follow: Follow | None = None

    def start(self) -> None:
        """Begin, in a thread of its own."""
        Thread(target=self._run, name=f"follow {self._asset}", daemon=True).start()

    def stop(self) -> None:
        """End, without waiting for it; the connection is closed."""
        with self._lock:
            self._stopped.set()
            self._bell.set()
            if self._follow:
                self._close(self._follow)

    def _run(self) -> None:
        # What isn't held can't be compared: the schedule brings the first generation.
        while self._state().generation is None:
            if self._stopped.wait(FLOOR):
                return
        self._generation = self._state().generation
        while turn := self._turn():
            # The bell, and not the end alone: who failed with the server is called as soon as it answers.
            self._bell.wait(self._waited(turn).total_seconds())
        self._waits.leave()

    def _turn(self) -> Turn | None:
        """The turn to begin in, None after the end."""
        while True:
            self._bell.clear()
            # Only now: the end rings the bell, too, and would have rung in vain.
            if self._stopped.is_set():
                return None
            if turn := self._waits.next():
                return turn
            # Asked again after a while also if nobody rings: a look that was answered 403 says nothing of the server.
            self._bell.wait(LONGEST.total_seconds())

    def _begun(self) -> Follow | None:
        """The wait at the source, None after the end; one that could not be begun is tried again."""
        held = self._state()
        with self._lock:
            if not self._stopped.is_set() and self._follow is None:
                self._follow = self._source.follow(held.revision or "")
            return self._follow

    def _waited(self, turn: Turn) -> timedelta:
        """Wait once. The pause before the next time."""
        began, generation = self._clock(), self._state().generation
        published, self._generation = generation != self._generation, generation
        try:
            self._wait(turn)
        except RefresherError as error:
            return self._failed(turn, self._clock() - began, error)
        except Exception as error:  # noqa: BLE001 - a plugin's bug: the interval goes on, and so do others
            return self._failed(turn, self._clock() - began, PermanentError(f"unexpected {places_of(error)}"))
        lasted = self._clock() - began
        pause = self._pace.waited(lasted, published=published)
        self._note("its server answers at once instead of waiting", works=lasted >= HELD)
        return pause

    def _wait(self, turn: Turn) -> None:
        follow = self._begun()
        is_news = follow is not None and follow.wait()
        if self._stopped.is_set():
            return
        self._waits.answered(turn)
        if is_news:
            self._look()

    def _close(self, follow: Follow) -> None:
        try:
            follow.close()
        except Exception as error:  # noqa: BLE001 - a plugin's bug: who changes the configuration has more to end
            log.warning("%s: a wait could not be ended, unexpected %s", self._asset, places_of(error))

    def _failed(self, turn: Turn, lasted: float, error: RefresherError) -> timedelta:
        pause = self._pace.failed(lasted, error)
        if isinstance(error, UnavailableError) and self._is_the_servers(lasted):
            failures, draw = self._pace.vain, self._pace.draw()
            self._waits.failed(turn, failures=failures, draw=draw, retry_after=error.retry_after)
        self._note(str(error), works=False)
        return pause

    def _is_the_servers(self, lasted: float) -> bool:
        """Whether all who ask there have to wait, until a look is answered: a pinned asset isn't looked at.

        A connection that we cut ourselves, at the end, is no failure of the server's either.
        """
        return lasted < PATIENT and not self._stopped.is_set() and not self._state().pinned

    def _note(self, why: str, *, works: bool) -> None:
        """Say once that it is in vain, and once that it works again."""
        why = f"{self._where}{why}"
        said, about = self._said_in_vain, {"asset": self._asset}
        if works and said:
            log.info("%s: followed again: %sits source waits until it changes", self._asset, self._where, extra=about)
        elif not said and self._pace.vain >= TELLING and not self._stopped.is_set():
            log.warning("%s: can't be followed, and is looked at on the interval: %s", self._asset, why, extra=about)
        self._said_in_vain = not works and (said or self._pace.vain >= TELLING)
