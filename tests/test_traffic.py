"""What transfers share of the network, and how far they are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from threading import Barrier, Thread

import pytest

from refresher.traffic import MARK, MARKS, UNTHROTTLED, Progress, Throttle, Traffic, Transfer

MiB = 2**20
CREW = 8


@dataclass
class Seconds:
    """A clock that only goes while somebody sleeps, or when it is told to."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def throttle(rate: int | None, clock: Seconds) -> Throttle:
    return Throttle(rate, clock=clock)


def fetch(size: int, *throttles: Throttle, chunk: int = MiB // 4) -> Iterator[int]:
    """A fetch that comes as fast as it may; yields after each chunk."""
    for used in range(chunk, size + chunk, chunk):
        for each in throttles:
            each.spend(chunk, used=used, wait=each.clock.sleep)  # type: ignore[attr-defined]
        yield used


def at_once(work: Callable[[], None]) -> None:
    """Have a crew do the same at the same time."""
    ready = Barrier(CREW)

    def begin() -> None:
        ready.wait()
        work()

    crew = [Thread(target=begin) for _ in range(CREW)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()


def test_a_throttled_fetch_takes_as_long_as_its_bytes_do_at_that_rate_but_for_a_second_s_worth() -> None:
    clock = Seconds()
    list(fetch(22 * MiB, throttle(2 * MiB, clock)))
    assert clock.now - 1000 == pytest.approx(22 / 2 - 1)


def test_without_a_limit_nobody_waits() -> None:
    clock = Seconds()
    list(fetch(100 * MiB, throttle(None, clock)))
    assert clock.slept == []


def test_what_was_not_used_in_an_hour_is_no_more_than_a_second_s_worth() -> None:
    clock = Seconds()
    limit = throttle(MiB, clock)
    list(fetch(10 * MiB, limit))
    clock.now = 5000.0
    list(fetch(10 * MiB, limit))
    assert clock.now - 5000 == pytest.approx(10 - 1)


def test_two_fetches_share_one_limit() -> None:
    clock = Seconds()
    limit = throttle(2 * MiB, clock)
    for _ in zip(fetch(10 * MiB, limit), fetch(10 * MiB, limit), strict=True):
        pass
    assert clock.now - 1000 == pytest.approx(20 / 2 - 1)


def test_of_two_limits_the_lower_one_counts() -> None:
    clock = Seconds()
    list(fetch(20 * MiB, throttle(8 * MiB, clock), throttle(2 * MiB, clock)))
    assert clock.now - 1000 == pytest.approx(20 / 2 - 1)


def test_the_first_bytes_of_a_fetch_do_not_wait_for_a_large_one_which_waits_for_them() -> None:
    clock = Seconds()
    limit = throttle(MiB, clock)
    large = fetch(40 * MiB, limit, chunk=4 * MiB)
    next(large)
    before = len(clock.slept)
    list(fetch(UNTHROTTLED, limit))
    assert len(clock.slept) == before
    next(large)
    assert clock.slept[-1] == pytest.approx(4 + UNTHROTTLED / MiB)


def test_no_spending_is_lost_between_threads() -> None:
    clock = Seconds()
    waits: list[float] = []
    limit = Throttle(MiB, clock=clock)

    def spend() -> None:
        for _ in range(1000):
            limit.spend(1024, used=2 * MiB, wait=waits.append)

    at_once(spend)
    assert max(waits) == pytest.approx(CREW * 1000 * 1024 / MiB - 1)


def test_connections_are_granted_while_there_are_any_and_come_back_whatever_happens() -> None:
    traffic = Traffic(connections=5)
    with traffic.more(3) as first, traffic.more(3) as second, traffic.more(3) as third:
        assert (first, second, third) == (3, 2, 0)
    with pytest.raises(ValueError, match="broken"), traffic.more(4):
        raise ValueError("broken")
    with traffic.more(9) as all_of_them:
        assert all_of_them == 5


@pytest.mark.parametrize("wanted", [0, -1])
def test_who_needs_no_more_connections_takes_none(wanted: int) -> None:
    traffic = Traffic(connections=5)
    with traffic.more(wanted) as granted, traffic.more(5) as left:
        assert (granted, left) == (0, 5)


def test_threads_never_have_more_connections_than_there_are() -> None:
    traffic, taken = Traffic(connections=5), Progress()
    most: list[int] = []

    def take() -> None:
        for _ in range(500):
            with traffic.more(3) as granted:
                most.append(taken.add(granted))
                taken.add(-granted)

    at_once(take)
    assert 0 < max(most) <= 5
    with traffic.more(5) as left:
        assert left == 5


def test_every_byte_is_counted_once_whoever_brings_it() -> None:
    progress, counts = Progress(), list[list[int]]()
    progress.expect(CREW * 1000)
    at_once(lambda: counts.append([progress.add(1) for _ in range(1000)]))
    assert progress.received == CREW * 1000
    assert sorted(chain(*counts)) == list(range(1, CREW * 1000 + 1))


def test_there_is_a_transfer_from_its_announcement_to_its_end() -> None:
    clock = Seconds()
    progress = Progress(clock=clock)
    assert progress.transfer() is None
    progress.expect(4 * MiB)
    assert progress.transfer() == Transfer(received=0, expected=4 * MiB, seconds=0.0, rate=0.0)
    progress.add(MiB)
    clock.now += 0.5
    assert progress.transfer() == Transfer(received=MiB, expected=4 * MiB, seconds=0.5, rate=2.0 * MiB)
    progress.expect(0)
    assert progress.transfer() is None


def test_a_transfer_that_goes_on_keeps_what_has_come() -> None:
    progress = Progress(clock=Seconds())
    progress.expect(0)
    progress.expect_more(3)
    progress.add(3)
    progress.expect_more(4)
    assert progress.transfer() == Transfer(received=3, expected=7, seconds=0.0, rate=0.0)
    for unknown in (None, 5):
        progress.expect_more(unknown)
        assert progress.transfer() == Transfer(received=3, expected=None, seconds=0.0, rate=0.0)


def test_a_transfer_of_unknown_length_is_one_too() -> None:
    progress = Progress(clock=Seconds())
    progress.expect(None)
    progress.add(3)
    assert progress.transfer() == Transfer(received=3, expected=None, seconds=0.0, rate=0.0)


def test_the_rate_is_that_of_late_and_falls_in_silence() -> None:
    clock = Seconds()
    progress = Progress(clock=clock)
    progress.expect(None)

    def comes(count: int, *, for_seconds: int) -> None:
        for _ in range(for_seconds):
            clock.now += MARK
            progress.add(count)

    def rate() -> float:
        transfer = progress.transfer()
        assert transfer is not None
        return transfer.rate

    comes(1000, for_seconds=100)
    assert rate() == pytest.approx(1000, rel=0.2)
    comes(10, for_seconds=MARKS + 1)
    assert rate() == pytest.approx(10, rel=0.2)
    clock.now += 1000
    assert rate() < 1


def test_other_limits_count_at_once_and_take_nothing_from_who_has_it() -> None:
    traffic = Traffic(connections=4, max_rate=1000)
    with traffic.more(3) as had:
        traffic.limit(connections=1, max_rate=None)
        assert (had, traffic.throttle.rate) == (3, None)
        with traffic.more(2) as none_left:
            assert none_left == 0
    with traffic.more(2) as granted:
        assert granted == 1
