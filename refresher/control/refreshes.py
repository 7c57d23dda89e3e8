"""Asking for refreshes and waiting for them, and what their ends are called in HTTP."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from refresher.control.documents import outcome_document
from refresher.control.moments import moment_of
from refresher.control.shapes import OutcomeDocument
from refresher.control.sidecar import Request, Sidecar
from refresher.model import Outcome, Result
from refresher.ratelimit import RateLimit

STATUS = {
    Result.PUBLISHED: 200,
    Result.UNCHANGED: 200,
    Result.REJECTED: 422,
    Result.ROLLED_BACK: 422,
    Result.FAILED: 502,
}
WORST_FIRST = (504, 502, 422, 429)
TIMEOUT = timedelta(seconds=60)


class Until(StrEnum):
    """What a waiting client waits for."""

    VISIBLE = "visible"
    TOLD = "told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How a client wants to wait."""

    wait: bool = True
    until: Until = Until.VISIBLE
    timeout: timedelta = TIMEOUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one asset's refresh is answered with: HTTP status, JSON, and seconds to stay away for."""

    status: int
    document: OutcomeDocument
    retry_after: int | None = None


def worst(answers: Sequence[Answer]) -> int:
    """The status of several answers together."""
    found = {answer.status for answer in answers}
    return next((status for status in WORST_FIRST if status in found), max(found, default=200))


class _Ongoing:
    """One request of the sidecar's with its two moments in the event loop, shared by all who wait for it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.visible = moment_of(request.visible)
        self.told = moment_of(request.told)

    def outcome(self) -> Outcome:
        """How it ended; to be asked once it has."""
        return self.request.visible.result()

    def heard(self) -> bool:
        """Whether all have heard; to be asked once it was told."""
        return self.request.told.result()

    async def reach(self, until: Until) -> None:
        """Wait for what a client waits for; what isn't published isn't told either."""
        await self.visible.wait()
        if until is Until.TOLD and STATUS[self.outcome().result] == 200:
            await self.told.wait()


class Refreshes:
    """Asks a sidecar for refreshes, within the rate limit. Belongs to one event loop."""

    def __init__(self, sidecar: Sidecar, limit: RateLimit) -> None:
        self._sidecar, self._limit = sidecar, limit
        self._latest: dict[str, _Ongoing] = {}

    async def refresh(self, asset: str, wish: Wish) -> Answer:
        """Ask for one asset, and wait as wished. Giving up doesn't stop the refresh."""
        wait = 0.0 if self._shared(asset) else self._limit.wait(asset)
        if wait > 0:
            return self._answer(asset, 429, error="too many refreshes were asked for", retry_after=math.ceil(wait))
        ongoing = self._ask(asset)
        if not wish.wait:
            return self._answer(asset, 202)
        try:
            async with asyncio.timeout(wish.timeout.total_seconds()):
                await ongoing.reach(wish.until)
        except TimeoutError:
            return self._unfinished(asset, ongoing, wish)
        return self._finished(asset, ongoing, wish)

    def _shared(self, asset: str) -> bool:
        """Whether asking now joins a refresh that was asked for before and hasn't ended."""
        latest = self._latest.get(asset)
        return latest is not None and not latest.request.visible.done()

    def _ask(self, asset: str) -> _Ongoing:
        """Ask; only a refresh that is not shared costs a token, so that a crowd that wants the same thing gets it."""
        request = self._sidecar.request(asset)
        latest = self._latest.get(asset)
        if latest is None or latest.request is not request:
            self._limit.spend(asset)
            self._forget_gone()
            latest = self._latest[asset] = _Ongoing(request)
        return latest

    def _forget_gone(self) -> None:
        """Names come and go with the configuration, and would stay here for ever."""
        there = self._sidecar.names()
        if len(self._latest) > len(there):
            self._latest = {name: latest for name, latest in self._latest.items() if name in there}
            self._limit.forget_all_but(there)

    def _unfinished(self, asset: str, ongoing: _Ongoing, wish: Wish) -> Answer:
        seconds = f"{wish.timeout.total_seconds():g} s"
        if not ongoing.request.visible.done():
            return self._answer(asset, 504, error=f"not done within {seconds}; the refresh goes on")
        result = ongoing.outcome().result
        return self._answer(
            asset, 504, result=result, error=f"visible, but not told within {seconds}; the telling goes on"
        )

    def _finished(self, asset: str, ongoing: _Ongoing, wish: Wish) -> Answer:
        outcome = ongoing.outcome()
        status = STATUS[outcome.result]
        if status == 200 and wish.until is Until.TOLD and not ongoing.heard():
            return self._answer(asset, 502, result=outcome.result, error="visible, but not everybody could be told")
        return self._answer(asset, status, result=outcome.result, error=outcome.error)

    def _answer(
        self,
        asset: str,
        status: int,
        *,
        result: Result | None = None,
        error: str | None = None,
        retry_after: int | None = None,
    ) -> Answer:
        document = outcome_document(self._sidecar.state(asset), result, error)
        return Answer(status=status, document=document, retry_after=retry_after)
