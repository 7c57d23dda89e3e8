"""How much a template may do: for the one that was written wrong, and goes on for ever or grows without end."""

import re
from collections.abc import Callable, Iterable
from time import thread_time
from typing import Any

from refresher.model import SECRET_FILE_LIMIT
from refresher.render.unfit import Unfit

SECONDS = 5.0
"""Of the processor's time, for one file; a template that writes 10,000 lines takes a hundredth of it.

Not of the clock's: a pod that is held back by its CPU limit would refuse what it only makes slowly."""
TICKS = 50
"""After which the clock is looked at; each of them can make a text of the largest size, which takes a millisecond."""
LARGEST = SECRET_FILE_LIMIT
"""Characters of a text that a template makes, and of all that it writes."""
LONGEST = 100_000
"""Items of a list that a template makes by multiplying or adding; what Jinja2's sandbox allows a `range`."""
BITS = 4096
"""Of a number that a template makes by multiplying or as a power."""


WIDE = re.compile(r"%[^a-zA-Z%]*(?:\d{7}|\*)")
"""A format of a text, `'%d' % 1`, with a width of seven digits, or one that is an argument: no file needs it."""


class Meter:
    """Asked at each turn of a loop, each call and each operator that makes something larger. Raises Unfit."""

    def __init__(self, clock: Callable[[], float] = thread_time) -> None:
        self._clock, self._until, self._ticks = clock, clock() + SECONDS, 0

    def tick(self) -> None:
        """One more turn, or call."""
        self._ticks += 1
        if self._ticks % TICKS == 0 and self._clock() > self._until:
            raise Unfit(f"it takes more than {SECONDS:g} s of the processor's time")

    def joined(self, texts: Iterable[str]) -> str:
        """All in one."""
        self.tick()
        pieces = list(texts)
        self.admit(sum(map(len, pieces)))
        return "".join(pieces)

    def admit(self, size: int) -> None:
        """A text of so many characters."""
        if size > LARGEST:
            raise Unfit(f"it makes a text of more than {LARGEST} characters")

    def operands(self, operator: str, left: Any, right: Any) -> None:
        """What is about to be combined."""
        self.tick()
        if operator == "+" and isinstance(left, str) and isinstance(right, str):
            self.admit(len(left) + len(right))
        elif operator == "+" and isinstance(left, list | tuple) and isinstance(right, list | tuple):
            self._admit_items(len(left) + len(right))
        elif operator == "%" and isinstance(left, str) and WIDE.search(left):
            self.admit(LARGEST + 1)
        elif operator == "*":
            self._admit_product(left, right)
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            self._admit_bits(left.bit_length() * abs(right))

    def _admit_product(self, left: Any, right: Any) -> None:
        if isinstance(left, int) and isinstance(right, int):
            self._admit_bits(left.bit_length() + right.bit_length())
            return
        repeated, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(times, int) and isinstance(repeated, str):
            self.admit(len(repeated) * times)
        elif isinstance(times, int) and isinstance(repeated, list | tuple):
            self._admit_items(len(repeated) * times)

    @staticmethod
    def _admit_items(count: int) -> None:
        if count > LONGEST:
            raise Unfit(f"it makes a list of more than {LONGEST} items")

    @staticmethod
    def _admit_bits(bits: int) -> None:
        if bits > BITS:
            raise Unfit(f"it makes a number of more than {BITS} bits")
