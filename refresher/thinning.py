"""Which of many lines that say the same are written: ever fewer of them, but never none for long."""

import re
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

SILENCE = timedelta(minutes=15)
"""While something is said again and again, a line of it is written at least so often."""
KINDS = 256
"""Kinds that are told apart; then the one said longest ago is forgotten, so that no server fills the memory."""

_WORD = re.compile(r"[\w.:+-]{8,}")
_DIGIT = re.compile(r"\d")


@dataclass(slots=True)
class _Kind:
    said: int = 0
    left_out: int = 0
    written_at: datetime | None = None


class Thinning:
    """Counts what is said, by kind. The 1st, 2nd, 4th, 8th … is to be written, and one at least every `SILENCE`."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[int, _Kind] = OrderedDict()
        self._lock = Lock()

    def left_out(self, kind: Hashable, at: datetime) -> int | None:
        """How many of this kind weren't written since the last that was; None: this one isn't to be written either."""
        # Its hash, because a kind holds the text of an error, and texts that are ever new can be long.
        name = hash(kind)
        with self._lock:
            one = self._kinds.setdefault(name, _Kind())
            self._kinds.move_to_end(name)
            if len(self._kinds) > KINDS:
                self._kinds.popitem(last=False)
            return _counted(one, at)


def _counted(one: _Kind, at: datetime) -> int | None:
    one.said += 1
    is_power_of_two = one.said & (one.said - 1) == 0
    # A clock that was set back must not silence anything until it has caught up.
    if not is_power_of_two and one.written_at and one.written_at <= at < one.written_at + SILENCE:
        one.left_out += 1
        return None
    left_out, one.left_out, one.written_at = one.left_out, 0, at
    return left_out


def gist(text: str) -> str:
    """`text` without what differs each time that the same is said: moments, ids, addresses."""
    # Two steps, because one pattern that looks ahead for the digit takes minutes for a text of a hostile server's.
    return _WORD.sub(lambda word: "…" if _DIGIT.search(word[0]) else word[0], text)
