"""Sees whether readers still see what was published, and repairs what somebody has broken."""

import logging

from refresher.cycle import begin
from refresher.drift import Sight, sight
from refresher.errors import RefresherError, TransientError
from refresher.ledger import Holding
from refresher.record import Record

log = logging.getLogger("refresher")


class Lookout:
    """Knows what one asset's place looked like when it was last as it should be."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._sight: Sight | None = None

    def remember(self) -> None:
        """It is as it should be now."""
        current = self._record.holding.current
        self._sight = sight(self._record.asset, current) if current else {}

    def sees_drift(self) -> bool:
        """Whether what is visible isn't what it was. A keeper that was just handed it doesn't know that yet."""
        current = self._record.holding.current
        return current is not None and self._sight not in (None, sight(self._record.asset, current))

    def repair(self) -> bool:
        """Put right what can be, and note what can't; False if the volume could not be used."""
        asset, current = self._record.asset, self._record.holding.current
        try:
            holding = begin(asset)
        except RefresherError as error:
            log.warning("%s: %s", asset.name, error, extra={"asset": asset.name})
            if isinstance(error, TransientError):
                return False
            holding = Holding(ledger=self._record.holding.ledger)  # broken beyond repair: nothing is ready
        self._record.holds(holding)
        self.remember()
        what = "was repaired" if holding.current else "is damaged, and fetched again"
        number = current.number if current else 0
        log.warning(
            "%s: generation %d was changed by somebody, and %s", asset.name, number, what, extra={"asset": asset.name}
        )
        return True
