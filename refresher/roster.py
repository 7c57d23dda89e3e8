"""Who keeps what: a keeper for each asset of the running configuration, replaced while the others go on.

    change --> retire whom the new one lacks --nothing of theirs is under way--> begin who takes their place

The next keeper of a place never touches it before the last one is at rest. So a source that hangs holds up its own
asset's next keeper, and nobody else's.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from itertools import count
from threading import Lock
from time import monotonic

from refresher.abilities import Closable
from refresher.endpoint import Endpoints
from refresher.keeper import Keeper
from refresher.model import Asset, Clock
from refresher.record import Record
from refresher.state import NoSuchAssetError
from refresher.teller import Reporter, Tellers, all_true
from refresher.term import Clockwork

FLIP = 1.0
"""Seconds that making files visible may take at the end; of 1500 links that are replaced, it takes a tenth of one."""


class Roster:
    """All keepers. `left` is called each time one of them has gone for good."""

    def __init__(
        self,
        *,
        endpoints: Endpoints,
        clockwork: Clockwork,
        clock: Clock,
        seed: str,
        reporter: Reporter,
        left: Callable[[], None],
    ) -> None:
        self._endpoints, self._clockwork, self._clock, self._left = endpoints, clockwork, clock, left
        tellers = Tellers(clockwork=clockwork, clock=clock, seed=seed, reporter=reporter)
        self._new = partial(Keeper, tellers=tellers, clockwork=clockwork, clock=clock, seed=seed, reporter=reporter)
        self._lock = Lock()  # held for moments, over what follows
        self._keepers: dict[str, Keeper] = {}
        self._retiring: dict[Keeper, Future[bool]] = {}
        self._closings = count()

    def all(self) -> list[Keeper]:
        """The keepers of this moment, in the configuration's order."""
        with self._lock:
            return list(self._keepers.values())

    def around(self) -> list[Asset]:
        """Of which assets something may still be heard: those that are kept, and those that aren't left alone yet."""
        with self._lock:
            return [keeper.asset for keeper in (*self._keepers.values(), *self._retiring)]

    def keeper(self, asset: str) -> Keeper:
        """The asset's keeper of this moment. Raises NoSuchAssetError."""
        with self.keeping(asset) as keeper:
            return keeper

    @contextmanager
    def keeping(self, asset: str) -> Iterator[Keeper]:
        """The asset's keeper, who isn't replaced while he is asked; for a moment only. Raises NoSuchAssetError."""
        with self._lock:
            if asset not in self._keepers:
                raise NoSuchAssetError(asset)
            yield self._keepers[asset]

    def change(self, assets: Sequence[Asset]) -> None:
        """Keep these from now on, and no others. Whose asset is the very same goes on, and notices nothing."""
        with self._lock:
            before = self._keepers
            kept = {asset.name for asset in assets if asset.name in before and before[asset.name].asset is asset}
            self._keepers = {
                asset.name: before[asset.name] if asset.name in kept else self._keeper(asset) for asset in assets
            }
            retired = {keeper: keeper.retire() for name, keeper in before.items() if name not in kept}
            # Whose asset was taken out before, and is under way still, has waited for one that comes back.
            for keeper in [*retired, *(other for other in self._retiring if other.asset.name not in before)]:
                keeper.hand_over(self._keepers.get(keeper.asset.name))
            self._retiring |= retired
            new = [keeper for name, keeper in self._keepers.items() if name not in kept]
            waits = {keeper: self._before(keeper.asset) for keeper in new}
        self._begin([keeper for keeper, earlier in waits.items() if not earlier])
        for keeper, earlier in waits.items():
            if earlier:
                all_true(earlier).add_done_callback(partial(self._begin, [keeper]))
        for keeper, left in retired.items():
            left.add_done_callback(partial(self._gone, keeper))

    def lay_down(self) -> None:
        """Have all keepers touch no file any more; who is making files visible has `FLIP` to finish."""
        with self._lock:
            keepers = [*self._keepers.values(), *self._retiring]
        deadline = monotonic() + FLIP
        for keeper in keepers:
            keeper.lay_down(within=max(0.0, deadline - monotonic()))

    def _keeper(self, asset: Asset) -> Keeper:
        return self._new(Record(asset, started_at=self._clock()), endpoint=self._endpoints.of(asset))

    def _before(self, asset: Asset) -> list[Future[bool]]:
        """Whom the asset's keeper has to wait for."""
        return [left for other, left in self._retiring.items() if not left.done() and _meet(asset, other.asset)]

    def _begin(self, keepers: Iterable[Keeper], _: object = None) -> None:
        """All join before one starts, so that a destination that they share is told of them together."""
        with self._lock:
            # Whoever was replaced while it waited never begins.
            current = [keeper for keeper in keepers if self._keepers.get(keeper.asset.name) is keeper]
            for keeper in current:
                keeper.join()
            for keeper in current:
                keeper.start()

    def _gone(self, keeper: Keeper, _: object = None) -> None:
        with self._lock:
            del self._retiring[keeper]
        provider = keeper.asset.provider
        if isinstance(provider, Closable):
            # In an action of its own: a server that is asked to end a login may not answer.
            self._clockwork.at(f"close {next(self._closings)}", self._clock(), provider.close)
        self._left()


def _meet(one: Asset, other: Asset) -> bool:
    """Whether both have to do with the same files, or the same armed moments."""
    places = one.directory, other.directory
    return one.name == other.name or any(a == b or a in b.parents for a, b in (places, places[::-1]))
