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


def in_time(attempt: Callable[[], bool], *, attempts: int = 3) -> bool:
    """Whether any of a few attempts is quick enough: a machine that stalls spoils one, what is slow spoils them all."""
    return any(attempt() for _ in range(attempts))
