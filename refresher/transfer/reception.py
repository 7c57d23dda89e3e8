"""A remote file's bytes, in order: received ahead of whoever takes them, over several connections where one is slow.

A large file begins on one connection. Where that alone is slow and the source can give ranges, the rest comes over as
many connections as there are; pieces that come early wait in memory, so that what is on disk is always a beginning of
the file, whose digest is known so far, and which a later fetch can go on from.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager

from refresher.abilities import Ranged
from refresher.contract import RemoteFile
from refresher.errors import TransientError
from refresher.transfer.pace import Pace
from refresher.transfer.reading import RangeReading, Reading
from refresher.transfer.ring import Fill, Ring
from refresher.transfer.terms import Terms

MiB = 1024 * 1024
BUFFER = 2 * MiB
"""Bytes a read: of 2 GiB from SeaweedFS, buffers of 2 MiB took 3.24 s, of 1 MiB 3.46 (medians of four in turn)."""
BUFFERS = 4
AHEAD = 4 * MiB
"""Bytes from which on a file is received by a thread of its own, ahead of hashing and writing."""
RANGED = 64 * MiB
"""Bytes from which on a file may come in ranges."""
RANGE = 4 * MiB
"""Bytes a range: a twentieth of a second of one S3 connection, and what a kill loses of each that came early."""
PART = MiB
"""Bytes of a range that are handed on as soon as they are there: what a kill loses of the one that is next."""
SPARE = 2
"""Buffers more than connections, so that none waits for the one that is behind."""
STRETCH = 32 * MiB
"""Bytes over which a connection's speed is judged; not over the first ones, because a start is slow by nature."""
WORTH_HELP = 16 * MiB
"""Bytes that have to be left for help to pay off."""


def received(file: RemoteFile, *, offset: int, terms: Terms) -> Generator[memoryview, None, None]:
    """The bytes from `offset` on, each chunk valid until the next one is asked for. Raises what the streams raise."""
    if offset and file.size is not None and offset >= file.size:
        return
    left = AHEAD if file.size is None else file.size - offset
    with Reading(file, offset=offset, terms=terms, pace=terms.pace(), started=offset > 0) as reading:
        if left < AHEAD:
            yield from _plain(reading, memoryview(bytearray(min(BUFFER, left + 1))))
            return
        slow_at = yield from _ahead(reading, file, terms)
    if slow_at is not None:
        yield from _side_by_side(file, terms, offset=slow_at)


def _plain(reading: Reading, buffer: memoryview) -> Iterator[memoryview]:
    while count := reading.fill(buffer):
        yield buffer[:count]


def _ahead(reading: Reading, file: RemoteFile, terms: Terms) -> Generator[memoryview, None, int | None]:
    """The file by one connection; if it is slow, its beginning, and where help has to go on."""
    offset, speed, slow = reading.offset, Speed(reading.pace, fast=terms.fast), False

    def fill(_: int, buffer: memoryview) -> Iterator[int]:
        yield reading.fill(buffer)

    with _ring([fill], terms, buffers=BUFFERS, size=BUFFER) as ring:
        for chunk in ring:
            offset += len(chunk)
            yield chunk
            if not slow and speed.is_low() and _can_be_helped(reading, file, terms):
                slow = True
                ring.stop()
    return offset if slow else None


class Speed:
    """How fast a connection is, stretch by stretch."""

    def __init__(self, pace: Pace, *, fast: int) -> None:
        self._pace, self._fast = pace, fast
        self._begun: tuple[int, float] | None = None

    def is_low(self) -> bool:
        """Whether a stretch has just ended, and the source kept us waiting too long for it."""
        received, waited = self._pace.received, self._pace.waited
        before, waited_before = self._begun or (0, 0.0)
        if received - before < STRETCH:
            return False
        is_first, self._begun = self._begun is None, (received, waited)
        return not is_first and received - before < self._fast * (waited - waited_before)


def _can_be_helped(reading: Reading, file: RemoteFile, terms: Terms) -> bool:
    if file.size is None or file.size < RANGED or file.size - reading.offset < WORTH_HELP or not terms.free:
        return False
    return isinstance(file, Ranged) and file.ranged


def _side_by_side(file: RemoteFile, terms: Terms, *, offset: int) -> Iterator[memoryview]:
    with terms.taken(terms.limits.connections - 1) as more:
        fills = [_fill_ranges(file, terms, offset) for _ in range(1 + more)]
        with _ring(fills, terms, buffers=len(fills) + SPARE, size=RANGE) as ring:
            yield from ring


@contextmanager
def _ring(fills: Sequence[Fill], terms: Terms, *, buffers: int, size: int) -> Iterator[Ring]:
    with closing(Ring(fills, buffers=buffers, size=size)) as ring:
        try:
            yield ring
        except GeneratorExit:
            # Who stops taking has failed; no connection need fill its buffer at the source's pace.
            terms.give_up()
            raise


def _fill_ranges(file: RemoteFile, terms: Terms, start: int) -> Fill:
    """One connection's way to fill the file's pieces from `start` on."""
    end, pace = file.size or 0, terms.pace()

    def fill(index: int, buffer: memoryview) -> Iterator[int]:
        offset = start + index * RANGE
        size = max(0, min(RANGE, end - offset))
        with RangeReading(file, offset=offset, size=size, terms=terms, pace=pace) as reading:
            for at in range(0, size, PART):
                part = buffer[at : min(at + PART, size)]
                count = reading.fill(part)
                yield count
                if count < len(part):
                    raise TransientError(f"{file.name} broke off after {offset + at + count} of {end} bytes")

    return fill
