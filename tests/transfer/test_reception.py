"""A remote file's bytes, in order, whatever becomes of its streams."""

import time
from datetime import timedelta
from itertools import count
from threading import Thread

import pytest

from refresher.errors import TransientError
from refresher.model import Limits
from refresher.traffic import Progress, Traffic
from refresher.transfer.reception import RANGE, received
from refresher.transfer.terms import FAST, GivenUp, Terms
from tests.fakes.models import MiB, Model, Stream, Unmeasured, content
from tests.waiting import in_time, until

LARGE = content(112 * MiB)
"""So large that help still pays off when a connection is found to be slow, however far ahead it is by then."""


def terms(
    *,
    connections: int = 4,
    timeout: float = 60,
    min_rate: int = 64 * 1024,
    max_rate: int | None = None,
    fast: int = FAST,
) -> Terms:
    limits = Limits(connections=connections, min_rate=min_rate, max_rate=max_rate)
    return Terms(limits, timedelta(seconds=timeout), Traffic(), Progress(), free=connections - 1, fast=fast)


def read(model: Model, the: Terms, *, offset: int = 0) -> bytes:
    return b"".join(bytes(chunk) for chunk in received(model, offset=offset, terms=the))


@pytest.mark.parametrize("size", [0, 1, MiB - 1, MiB, MiB + 1, 4 * MiB - 1, 4 * MiB, 9 * MiB + 5])
def test_every_size_arrives_as_it_is(size: int) -> None:
    model = Model("m", LARGE[:size])
    assert read(model, terms()) == LARGE[:size]
    assert model.at_once == 0


def test_reading_goes_on_where_an_earlier_attempt_ended() -> None:
    model = Model("m", LARGE[: 9 * MiB])
    assert read(model, terms(), offset=5 * MiB) == LARGE[5 * MiB : 9 * MiB]
    assert model.opened == [(5 * MiB, 9 * MiB)]


def test_what_is_complete_already_is_not_asked_for() -> None:
    model = Model("m", LARGE[:MiB], trouble=AssertionError())
    assert read(model, terms(), offset=MiB) == b""


def test_a_stream_that_breaks_goes_on_at_the_same_byte() -> None:
    model = Model("m", LARGE[: 6 * MiB], breaks=[MiB + 7] * 4)
    assert read(model, terms()) == LARGE[: 6 * MiB]
    assert [start for start, _ in model.opened] == [number * (MiB + 7) for number in range(5)]
    assert model.moved == 6 * MiB


def test_what_a_stream_kept_us_waiting_before_it_broke_counts() -> None:
    class Dripping(Model):
        def open(self, offset: int = 0) -> Stream:
            self.breaks = [1]
            return Silent(self, memoryview(self.content)[offset:], 1)

    class Silent(Stream):
        def readinto(self, buffer: memoryview) -> int:
            if self.good == 0:
                time.sleep(0.01)
            return super().readinto(buffer)

    model = Dripping("m", LARGE[:400])
    with pytest.raises(TransientError, match="too slow"):
        read(model, terms(timeout=0.1))
    assert model.moved < 100


def test_a_part_that_is_longer_than_the_file_is_not_gone_on_with() -> None:
    assert read(Model("m", LARGE[:MiB], trouble=AssertionError()), terms(), offset=MiB + 9) == b""


def test_a_transfer_makes_do_with_the_threads_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch, threads=2)
    model = Model("m", LARGE, delay=0.002)
    assert read(model, terms(connections=4)) == LARGE
    assert model.most_at_once == 1
    few(monkeypatch, threads=0)
    with pytest.raises(TransientError, match="no thread"):
        read(model, terms())


def few(monkeypatch: pytest.MonkeyPatch, *, threads: int) -> None:
    """A machine that starts so many threads, and no more."""
    left, start = count(threads, -1), Thread.start

    def started(self: Thread) -> None:
        if next(left) <= 0:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(Thread, "start", started)


class Attended(Model):
    """Its ranges give nothing before there are four at once: a thread may come late, and find nothing left to do."""

    def open_range(self, offset: int, size: int) -> Stream:
        stream = super().open_range(offset, size)
        until(lambda: self.most_at_once == 4)
        return stream


def test_a_connection_that_is_slow_gets_help() -> None:
    slow = Attended("m", LARGE, delay=0.002)
    assert read(slow, terms(connections=4)) == LARGE
    assert slow.most_at_once == 4


def test_a_connection_that_is_fast_gets_none() -> None:
    model = Model("m", LARGE, most=4 * MiB)
    assert read(model, terms(connections=4, fast=MiB)) == LARGE  # a busy machine reads even memory slowly
    assert model.opened == [(0, len(LARGE))]


def test_help_never_fetches_a_byte_twice() -> None:
    model = Model("m", LARGE, delay=0.002)
    read(model, terms(connections=3))
    assert model.moved == len(LARGE)


@pytest.mark.parametrize("alone", [{"ranged": False}, {"content": LARGE[: 60 * MiB]}])
def test_a_source_without_ranges_and_a_file_that_is_small_are_read_by_one_connection(alone: dict[str, object]) -> None:
    model = Model(**{"name": "m", "content": LARGE[: 66 * MiB], "delay": 0.001, **alone})  # type: ignore[arg-type]
    assert read(model, terms()) == model.content
    assert model.most_at_once == 1


def test_one_connection_is_all_there_is_when_others_have_the_rest() -> None:
    model = Model("m", LARGE[: 66 * MiB], delay=0.001)
    assert read(model, terms(connections=1)) == LARGE[: 66 * MiB]
    assert model.most_at_once == 1


def test_ranges_that_break_go_on_side_by_side() -> None:
    model = Model("m", LARGE, delay=0.002, breaks=[17 * MiB, *[RANGE // 3] * 30])
    assert read(model, terms()) == LARGE
    assert model.moved == len(LARGE)


def test_a_source_that_is_down_is_not_asked_again_and_again() -> None:
    model = Model("m", LARGE[:MiB], breaks=[0] * 9)
    with pytest.raises(TransientError, match="reset"):
        read(model, terms())
    assert len(model.opened) == 1


def test_one_that_wants_us_to_wait_is_left_alone() -> None:
    class Busy(Model):
        def open(self, offset: int = 0):  # type: ignore[no-untyped-def]
            if offset:
                raise TransientError("503", retry_after=timedelta(seconds=9))
            return super().open(offset)

    model = Busy("m", LARGE[: 6 * MiB], breaks=[MiB])
    with pytest.raises(TransientError) as raised:
        read(model, terms())
    assert raised.value.retry_after == timedelta(seconds=9)
    assert len(model.opened) == 1


def test_what_came_before_the_end_is_given_before_the_error() -> None:
    model = Model("m", LARGE[: 9 * MiB], breaks=[5 * MiB, 0, 0, 0])
    came = list[int]()
    with pytest.raises(TransientError):
        came.extend(len(chunk) for chunk in received(model, offset=0, terms=terms()))
    assert sum(came) >= 4 * MiB


def test_a_source_that_drips_is_given_up() -> None:
    model = Model("m", LARGE[: 5 * MiB], delay=0.001, most=1)
    with pytest.raises(TransientError, match="too slow"):
        read(model, terms(timeout=0.05, min_rate=MiB))


def test_nobody_reads_any_more_once_the_reader_has_gone() -> None:
    model = Model("m", LARGE, delay=0.002)
    chunks = received(model, offset=0, terms=terms())
    for _ in range(30):
        next(chunks)
    chunks.close()
    assert model.at_once == 0


def test_a_fetch_that_failed_elsewhere_is_not_finished_here() -> None:
    model, the = Model("m", LARGE, delay=0.001), terms()
    chunks = received(model, offset=0, terms=the)
    next(chunks)
    the.give_up()
    with pytest.raises(GivenUp):
        for _ in chunks:
            pass
    assert until(lambda: model.at_once == 0)


def test_progress_counts_every_byte() -> None:
    the = terms()
    read(Model("m", LARGE, delay=0.001), the)
    assert the.progress.received == len(LARGE)


def test_connections_are_given_back() -> None:
    the = terms(connections=4)
    read(Model("m", LARGE, delay=0.002), the)
    assert the.free == 3


def test_an_unknown_length_ends_where_the_stream_does() -> None:
    for size in (0, 5, MiB, 5 * MiB):
        assert read(Unmeasured("m", LARGE[:size]), terms()) == LARGE[:size]


@pytest.mark.parametrize(("slowly", "max_rate"), [({"delay": 0.001, "most": 4096}, None), ({}, 512 * 1024)])
def test_who_stops_taking_waits_for_no_buffer_to_be_filled(slowly: dict[str, float], max_rate: int | None) -> None:
    def hardly_waits() -> bool:
        model = Model("m", LARGE, **slowly)  # type: ignore[arg-type]
        chunks = received(model, offset=0, terms=terms(max_rate=max_rate))
        next(chunks)
        began = time.monotonic()
        chunks.close()
        assert model.at_once == 0
        return time.monotonic() - began < 1

    assert in_time(hardly_waits)
