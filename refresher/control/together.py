"""Answers that take a while to make: one at a time, in a thread, and the same one for all who wait for it."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from starlette.requests import Request

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    number: int
    kind: Hashable
    answer: T


@dataclass(slots=True)
class Together(Generic[T]):
    """Makes one kind of answer, such as the metrics, however many ask. Belongs to one event loop.

    In a thread, because the metrics of 500 assets take 0.3 s, and kubelet is answered in this event loop, too. One at a
    time, or threads would keep kubelet waiting for their interpreter. And shared, or whoever asks often enough would
    keep everybody else waiting.
    """

    _making: asyncio.Lock = field(default_factory=asyncio.Lock)
    _begun: int = 0
    _waiting: int = 0
    _last: _Made[T] | None = None

    async def made(self, request: Request, make: Callable[[], T], *, kind: Hashable = None) -> T | None:
        """What `make` answers to whoever asks for the same `kind`, begun after the request; None if its client left."""
        first = self._begun + 1
        self._waiting += 1
        try:
            async with self._making:
                last = self._last
                if last is not None and last.number >= first and last.kind == kind:
                    return last.answer
                return None if await request.is_disconnected() else await self._make(make, kind)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._last = None  # it may be megabytes

    async def _make(self, make: Callable[[], T], kind: Hashable) -> T:
        self._begun += 1
        answer = await asyncio.to_thread(make)
        self._last = _Made(self._begun, kind, answer)
        return answer
