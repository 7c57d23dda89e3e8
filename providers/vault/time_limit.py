"""One time limit for all the requests of a look, however many it takes: log in, find the engine, read.

It belongs to the thread: as an argument it would go through all that lies between a look and its requests (session,
login, hvac's methods, unwrapping), none of which has another use for it.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_END = ContextVar("end", default=math.inf)
"""When the present thread's requests have to be over, as `time.monotonic()` counts."""


@contextmanager
def together_within(seconds: float) -> Iterator[None]:
    """All requests of this thread inside the context share so many seconds, however many they are."""
    outer = _END.set(min(_END.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _END.reset(outer)


def remaining(seconds: float) -> float:
    """What is left for a request that may take so long. Raises TimeoutError if that is nothing."""
    left = min(seconds, _END.get() - time.monotonic())
    if left <= 0:
        raise TimeoutError("the requests before took all the time")
    return left
