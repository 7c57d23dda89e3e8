"""One pod with one asset: the sidecar's own steps from one look at the source to the next."""

from dataclasses import replace
from datetime import datetime, timedelta

from refresher.clockwork import grouped
from refresher.due import due
from refresher.model import Refresh, Result
from refresher.simulate.source import Answer, Source
from refresher.standing import Standing, after

ASSET = "asset"
BACKDATED = timedelta(seconds=30)
"""By so much a certificate begins before it is issued (Vault's and OpenBao's `not_before_duration`)."""


class Pod:
    """A pod that is started at a moment. Its own clock goes ahead of the true one by `skew`.

    Moments in arguments and answers are true ones; the standing is the pod's, and has those that it reads off its
    clock, but for a certificate's dates, which the source gives.
    """

    def __init__(
        self, name: str, refresh: Refresh, *, starts_at: datetime, skew: timedelta, lifetime: timedelta | None
    ) -> None:
        self._name, self._refresh, self._skew, self._lifetime = name, refresh, skew, lifetime
        self._began = starts_at + skew
        self._version: int | None = None
        self._standing = Standing(asset=ASSET, started_at=self._began)
        self.good_at = starts_at
        """When it last heard from its source, or was started."""
        self.longest = timedelta(0)
        """The longest that it has heard nothing for, until `good_at`."""
        self.published_at: list[datetime] = []
        """When it had something new."""
        self.expired = timedelta(0)
        """The longest for which it had nothing but an expired certificate, until `good_at`."""

    def look(self, source: Source, at: datetime) -> datetime | None:
        """Look at the source at that moment; when to look next, None for never."""
        answer = source.ask(at, self._name)
        result, now = self._result(answer), answer.at + self._skew
        # The place for a back-off that assets of one pod share: with one asset, as here, it is due's own.
        self._standing = after(self._refresh, self._standing, result, at=now)
        if result is not Result.FAILED:
            self._note(answer.at)
        if result is Result.PUBLISHED:
            self._publish(answer)
        planned = due(self._refresh, self._standing, now=now, seed=self._name)
        return grouped(planned.at, now=now, began=self._began) - self._skew if planned else None

    def silent(self, until: datetime) -> timedelta:
        """The longest that it has heard nothing for, if it hears nothing until then."""
        return max(self.longest, until - self.good_at)

    def expired_for(self, until: datetime) -> timedelta:
        """The longest for which it had nothing but an expired certificate, if it gets no other one until then."""
        expires_at = self._standing.expires_at
        return max(self.expired, until - expires_at) if expires_at else self.expired

    def _result(self, answer: Answer) -> Result:
        if answer.version is None:
            return Result.FAILED
        is_new = self._lifetime is not None or answer.version != self._version
        return Result.PUBLISHED if is_new else Result.UNCHANGED

    def _note(self, at: datetime) -> None:
        self.longest, self.good_at = self.silent(at), at

    def _publish(self, answer: Answer) -> None:
        self._version = answer.version
        self.expired = self.expired_for(answer.at)
        self.published_at.append(answer.at)
        self._standing = replace(
            self._standing, generation=(self._standing.generation or 0) + 1, fetched_at=answer.at + self._skew
        )
        if self._lifetime is not None:
            self._standing = replace(
                self._standing,
                minted=True,
                valid_from=answer.at - BACKDATED,
                expires_at=answer.at + self._lifetime,
            )
