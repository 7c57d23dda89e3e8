"""What the documentation allows: docs/concepts.md#when as arithmetic of its own, so that `due` doesn't judge itself."""

from collections.abc import Callable
from itertools import count

Wait = Callable[[float, float], float]
"""(seconds that the back-off allows, seconds that have gone) to the shortest wait allowed."""


def attempts(begin: float, end: float, wait: Wait) -> int:
    """How many attempts fit in between two moments (seconds), each wait after a failure as short as it may be."""
    moment = begin
    for failed in count(1):
        moment += wait(0.75 * min(2.0 ** (failed - 1), 300), moment)
        if moment > end:
            return failed
    raise AssertionError


def interval(every: float, jitter: float = 0.1) -> Wait:
    """Of what is looked at on an interval: the back-off, or the interval if that is sooner."""
    return lambda backoff, _: min(backoff, every * (1 - jitter))


def expiry(expires: float) -> Wait:
    """Of what expires then: half of what remains, 10 s once nothing does, less a quarter; never under 1 s."""

    def wait(backoff: float, moment: float) -> float:
        bound = (expires - moment) / 2 if moment < expires else 10
        return max(min(backoff, 0.75 * bound), 1)

    return wait


def renewal(ttl: float) -> float:
    """The earliest renewal of what lives so long: 67% less 15% of its life."""
    return 0.52 * ttl
