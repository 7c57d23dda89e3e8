"""How often something may happen: a token bucket for each key."""

import time
from collections.abc import Callable, Container
from dataclasses import dataclass

BURST, PER_SECOND = 10, 1.0
"""Wishes for a refresh that each way has at once, and then each second: the contract's figures."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimit:
    """A burst for each key, then so many a second. `clock` answers seconds that only rise (`time.monotonic`)."""

    def __init__(self, *, burst: int, per_second: float, clock: Callable[[], float]) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, key: str) -> float:
        """Seconds until the key has a token; 0 if it has one."""
        return max(0.0, (1 - self._filled(key).tokens) / self._per_second)

    def spend(self, key: str) -> None:
        """Take one of the key's tokens."""
        self._filled(key).tokens -= 1

    def forget_all_but(self, keys: Container[str]) -> None:
        """Others begin anew, with a whole burst."""
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key in keys}

    def _filled(self, key: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(self._burst, now))
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._per_second)
        bucket.filled_at = now
        return bucket


def of_wishes() -> RateLimit:
    """The limit that each way of wishing for a refresh has, by this machine's clock."""
    return RateLimit(burst=BURST, per_second=PER_SECOND, clock=time.monotonic)
