"""Buffers that go round: filled by several threads side by side, and taken in the order of the file."""

from collections.abc import Callable, Iterator, Sequence
from threading import Condition, Thread

from refresher.errors import TransientError
from refresher.transfer.threads import started

Fill = Callable[[int, memoryview], int]
"""Fills a buffer with the piece of that number; fewer bytes than it holds mean that it is the last one."""


class Ring:
    """The pieces of a file, one thread for each of `fills`; `close` waits until nobody reads any more.

    A piece takes its buffer in the order of the file: so the next one that is wanted always has one, and no number of
    early pieces can hold it up.
    """

    def __init__(self, fills: Sequence[Fill], *, buffers: int, size: int) -> None:
        self._size, self._unmade, self._free = size, buffers, list[memoryview]()
        self._pieces: dict[int, memoryview | Exception] = {}
        self._next, self._end = 0, float("inf")
        self._changed = Condition()
        self._threads = started(Thread(target=self._receive, args=(fill,), name="lane", daemon=True) for fill in fills)
        if not self._threads:
            raise TransientError("this machine has no thread for a transfer at the moment")

    def __iter__(self) -> Iterator[memoryview]:
        """The pieces in order, each valid until the next one is asked for. Raises what filling it raised."""
        index = 0
        while (piece := self._taken(index)) is not None:
            yield piece
            with self._changed:
                self._free.append(memoryview(piece.obj))
                self._changed.notify_all()
            index += 1

    def stop(self) -> None:
        """Fill no more; what is filled can still be taken."""
        with self._changed:
            self._end = min(self._end, self._next)
            self._changed.notify_all()

    def close(self) -> None:
        """Fill no more, and wait for those who read; a source that is silent keeps them for its read timeout."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _receive(self, fill: Fill) -> None:
        while (claimed := self._claim()) is not None:
            index, buffer = claimed
            piece: memoryview | Exception
            try:
                count = fill(index, buffer)
                piece, is_last = buffer[:count], count < len(buffer)
            except Exception as error:  # noqa: BLE001 - whoever takes the piece gets it
                piece, is_last = error, True
            with self._changed:
                self._pieces[index] = piece
                if is_last:
                    self._end = min(self._end, index + 1)
                self._changed.notify_all()

    def _claim(self) -> tuple[int, memoryview] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._unmade or self._next >= self._end)
            if self._next >= self._end:
                return None
            self._next += 1
            return self._next - 1, self._buffer()

    def _buffer(self) -> memoryview:
        if self._free:
            return self._free.pop()
        # Only now: a short file of unknown length needs one.
        self._unmade -= 1
        return memoryview(bytearray(self._size))

    def _taken(self, index: int) -> memoryview | None:
        with self._changed:
            self._changed.wait_for(lambda: index in self._pieces or index >= self._end)
            piece = self._pieces.pop(index, None)
        if isinstance(piece, Exception):
            raise piece
        return piece or None
