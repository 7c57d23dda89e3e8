"""Buffers that go round: filled by several threads side by side, and taken in the order of the file."""

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Condition, Thread

from refresher.errors import TransientError
from refresher.transfer.threads import started

Fill = Callable[[int, memoryview], Iterator[int]]
"""Fills a buffer with the piece of that number, and gives how many bytes each part of it has.

Fewer in all than the buffer holds mean that this piece is the last one.
"""


@dataclass(slots=True)
class _Piece:
    """A part of the file that is being filled, or waits to be taken; `error` is what ended it."""

    buffer: memoryview
    filled: int = 0
    is_over: bool = False
    error: Exception | None = None


class Ring:
    """The pieces of a file, one thread for each of `fills`; `close` waits until nobody reads any more.

    A piece takes its buffer in the order of the file: so the next one that is wanted always has one, and no number of
    early pieces can hold it up.
    """

    def __init__(self, fills: Sequence[Fill], *, buffers: int, size: int) -> None:
        self._size, self._unmade, self._free = size, buffers, list[memoryview]()
        self._pieces: dict[int, _Piece] = {}
        self._next, self._end = 0, float("inf")
        self._changed = Condition()
        self._threads = started(
            Thread(target=self._receive, args=(fill,), name="connection", daemon=True) for fill in fills
        )
        if not self._threads:
            raise TransientError("this machine has no thread for a transfer at the moment")

    def __iter__(self) -> Iterator[memoryview]:
        """What has come, in order, each part valid until the next one is asked for. Raises what filling raised.

        The piece that is next can be taken while it is filled: a kill loses only what came early.
        """
        index = 0
        while (piece := self._wanted(index)) is not None:
            yield from self._parts(piece)
            with self._changed:
                self._free.append(piece.buffer)
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
        while (claimed := self._claimed()) is not None:
            index, piece = claimed
            try:
                for count in fill(index, piece.buffer):
                    with self._changed:
                        piece.filled += count
                        self._changed.notify_all()
            except Exception as error:  # noqa: BLE001 - whoever takes the piece gets it
                piece.error = error
            self._end_of(index, piece)

    def _claimed(self) -> tuple[int, _Piece] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._free or self._unmade or self._next >= self._end)
            if self._next >= self._end:
                return None
            index, self._next = self._next, self._next + 1
            piece = self._pieces[index] = _Piece(self._buffer())
            self._changed.notify_all()
            return index, piece

    def _buffer(self) -> memoryview:
        if self._free:
            return self._free.pop()
        # Only now: a short file of unknown length needs one.
        self._unmade -= 1
        # Whole pages of its own, which can go to the disk directly.
        return memoryview(mmap.mmap(-1, self._size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))

    def _end_of(self, index: int, piece: _Piece) -> None:
        with self._changed:
            piece.is_over = True
            if piece.error or piece.filled < len(piece.buffer):
                self._end = min(self._end, index + 1)
            self._changed.notify_all()

    def _wanted(self, index: int) -> _Piece | None:
        with self._changed:
            self._changed.wait_for(lambda: index in self._pieces or index >= self._end)
            return self._pieces.pop(index, None)

    def _parts(self, piece: _Piece) -> Iterator[memoryview]:
        taken = 0
        while (filled := self._filled(piece, beyond=taken)) > taken:
            yield piece.buffer[taken:filled]
            taken = filled
        if piece.error:
            raise piece.error

    def _filled(self, piece: _Piece, *, beyond: int) -> int:
        """Bytes that the piece holds, once they are more than that, or it is over."""
        with self._changed:
            self._changed.wait_for(lambda: piece.is_over or piece.filled > beyond)
            return piece.filled
