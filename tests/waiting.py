"""Waiting for what has to come true, without sleeping a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], *, within: float = 30.0, every: float = 0.01) -> T:
    """The first true answer of `condition`; fails the test if there is none within `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not true within {within} s: {condition}"
        time.sleep(every)
