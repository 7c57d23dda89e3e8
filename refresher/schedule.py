"""When one asset is refreshed and looked at next: what `due` computes of it, armed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from refresher.asked import Asked
from refresher.due import Due, due, look_at
from refresher.model import Clock, Wish
from refresher.record import Record
from refresher.renewal import is_renewal_due, renewal_at
from refresher.state import AssetState
from refresher.term import Term


class Schedule:
    """Runs `refresh` and `look` at their moments. What is `asked` for is armed already, and isn't put off."""

    def __init__(
        self,
        record: Record,
        *,
        asked: Asked,
        term: Term,
        clock: Clock,
        seed: str,
        refresh: Callable[[], None],
        look: Callable[[], None],
    ) -> None:
        self._record, self._asked, self._term, self._clock, self._seed = record, asked, term, clock, seed
        self._asset, self._refresh, self._look = record.asset, refresh, look

    def now(self) -> None:
        """Refresh now."""
        self._term.at(self._key, self._clock(), self._refresh)

    def next(self) -> Due | None:
        """Arm the next refresh, which is noted, and the next look."""
        planned = due(self._asset.refresh, self._record.standing, now=self._clock(), seed=self._seed)
        self._record.planned(planned)
        if planned:
            self._asked.unless_wanted(partial(self._term.at, self._key, planned.at, self._refresh))
        self.next_look()
        return planned

    def next_look(self) -> None:
        """Arm the next look after what was made anew."""
        if look := look_at(self._asset.refresh, self._record.standing, now=self._clock(), seed=self._seed):
            self._term.at(f"look {self._asset.name}", look, self._look)

    def wish(self) -> Wish:
        """What a refresh is for at this moment, if nobody asked for it."""
        standing, now = self._record.standing, self._clock()
        is_due = is_renewal_due(self._asset.refresh, standing, now=now, seed=self._seed)
        return Wish.RENEW if is_due else Wish.LOOK

    def shown(self, state: AssetState) -> AssetState:
        """How the asset stands, with the moment at which what is visible wants to be replaced."""
        renewal = renewal_at(self._asset.refresh, self._record.standing, now=self._clock(), seed=self._seed)
        return replace(state, renewal_at=renewal)

    @property
    def _key(self) -> str:
        return f"refresh {self._asset.name}"
