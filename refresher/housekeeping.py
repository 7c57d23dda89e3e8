"""What is done to an asset's place besides refreshing it: retired generations pruned, leases ended that nobody needs.

Each in an action of its own, which is armed again for the moment at which there may be more to do.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from refresher.cycle import release, tidy
from refresher.endpoint import Endpoint
from refresher.errors import RefresherError
from refresher.model import Asset, Clock
from refresher.term import Term

log = logging.getLogger("refresher")

AGAIN = timedelta(seconds=30)
"""Before the volume, which could not be used, or a server that doesn't answer is tried again."""


class Housekeeping:
    """One asset's."""

    def __init__(self, asset: Asset, *, endpoint: Endpoint, term: Term, clock: Clock) -> None:
        self._asset, self._endpoint, self._term, self._clock = asset, endpoint, term, clock

    def tidy(self) -> None:
        """Close and prune what is retired."""
        self._repeat("tidy", tidy, self.tidy)

    def release(self) -> None:
        """End leases, in an action of its own: a source that doesn't answer must not hold up the refresh."""
        self._term.at(f"release {self._asset.name}", self._clock(), self._release)

    def _release(self) -> None:
        # A login that lives on for a while needs no answer as a certificate does: it is never the one that asks whether
        # the server is back.
        if self._endpoint.until():
            self._term.at(f"release {self._asset.name}", self._clock() + AGAIN, self._release)
            return
        with self._endpoint.take(f"release {self._asset.name}"):
            self._repeat("release", release, self._release)

    def _repeat(self, verb: str, act: Callable[..., datetime | None], action: Callable[[], None]) -> None:
        """Act now, and have the action run again when `act` says so, or soon if the volume could not be used."""
        again_at: datetime | None = self._clock() + AGAIN
        try:
            again_at = act(self._asset, clock=self._clock)
        except RefresherError as error:
            log.warning("%s: %s", self._asset.name, error, extra={"asset": self._asset.name})
        if again_at:
            self._term.at(f"{verb} {self._asset.name}", again_at, action)
