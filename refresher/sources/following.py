"""Waiting at several sources at once, until one of them has something else."""

from collections.abc import Mapping
from queue import SimpleQueue
from threading import Thread
from time import monotonic

from refresher.abilities import HELD, Follow
from refresher.errors import TransientError
from refresher.sources.troubles import named

Heard = tuple[str, float, bool | Exception]
"""Which source, how many seconds it held the wait, and what it answered or raised."""


class FollowingAll:
    """Each source's own waiting, in a thread of its own: that of one goes on while another one's answer is seen to."""

    def __init__(self, follows: Mapping[str, Follow]) -> None:
        self._follows, self._idle = dict(follows), set(follows)
        self._heard: SimpleQueue[Heard | None] = SimpleQueue()

    def wait(self) -> bool:
        """Whether one of them has something else. False if one answered too soon, so that there has to be a pause."""
        while True:
            self._begin()
            heard = self._heard.get()
            if heard is None:
                return False
            name, lasted, answer = heard
            self._idle.add(name)
            if isinstance(answer, Exception):
                raise named(name, answer)
            if answer or lasted < HELD:
                return answer

    def close(self) -> None:
        """End it for all of them."""
        self._heard.put(None)
        for follow in self._follows.values():
            follow.close()

    def _begin(self) -> None:
        for name in sorted(self._idle):
            try:
                Thread(target=self._listen, args=(name,), name=f"follow {name}", daemon=True).start()
            except RuntimeError as error:
                raise TransientError(f"{name}: there is no thread to wait at it") from error
            self._idle.discard(name)

    def _listen(self, name: str) -> None:
        began = monotonic()
        answer: bool | Exception
        try:
            answer = self._follows[name].wait()
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            answer = error
        self._heard.put((name, monotonic() - began, answer))
