from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refresher.circuit import (
    ANY_TIME,
    LAPSE,
    ONCE_IT_ANSWERS,
    Bucket,
    Circuit,
    Need,
    Waiting,
    admitted,
    free,
    next_call,
)
from refresher.due import LONGEST, due, retry_draw, shortest_interval
from refresher.model import Refresh, Result
from refresher.renewal import OVERDUE, SHORTEST
from refresher.standing import Standing
from refresher.state import CircuitState

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MOMENT = timedelta(microseconds=2)
"""What a share of a duration is rounded by."""
BUCKET = Bucket(gap=SECOND / 10, burst=5, earned_at=NOW)

draws = st.floats(0, 1, exclude_max=True)
ends = st.none() | st.timedeltas(-DAY, DAY).map(lambda left: NOW + left)
waits = st.none() | st.timedeltas(timedelta(0), DAY)


def failing(failures: int, *, draw: float = 0.0, retry_after: timedelta | None = None) -> Circuit:
    """A circuit after so many assets found nobody, the last of them at `NOW`."""
    circuit = Circuit()
    return circuit.failed(NOW, failures=failures, draw=draw, retry_after=retry_after) if failures else circuit


def waiting(name: str, **facts: object) -> Waiting:
    return Waiting(name=name, **{"since": NOW} | facts)  # type: ignore[arg-type]


def names(line: list[Waiting], circuit: Circuit = Circuit(), *, most: int = 99, now: datetime = NOW) -> list[str]:  # noqa: B008
    return [each.name for each in admitted(line, circuit, most=most, now=now)]


# The circuit


def test_it_is_closed_until_it_fails_then_open_and_half_open_once_the_wait_is_over() -> None:
    assert Circuit().state(NOW) is CircuitState.CLOSED
    assert failing(1).state(NOW) is CircuitState.OPEN
    assert failing(1).state(NOW + SECOND) is CircuitState.HALF_OPEN


def test_the_waits_of_an_outage_double_up_to_five_minutes() -> None:
    assert [failing(count).wait / SECOND for count in range(1, 11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]


def test_a_pause_that_the_server_asks_for_is_kept_for_five_minutes_at_most() -> None:
    assert failing(1, retry_after=MINUTE).wait == MINUTE
    assert failing(1, retry_after=HOUR).wait == LONGEST
    assert failing(9, retry_after=SECOND).wait > 4 * MINUTE


@given(st.integers(1, 40), draws, waits, ends)
def test_whose_files_end_soon_waits_no_longer_than_he_would_alone(
    failures: int, draw: float, retry_after: timedelta | None, ends_at: datetime | None
) -> None:
    until = failing(failures, draw=draw, retry_after=retry_after).until(Need(ends_at=ends_at))
    assert until is not None
    assert until - NOW <= LONGEST
    if ends_at:
        left = ends_at - NOW
        assert until - NOW <= (max(left / 2, SHORTEST) if left > timedelta(0) else OVERDUE) + MOMENT


@given(
    st.integers(1, 40),
    st.text(),
    st.none() | st.timedeltas(timedelta(0), LONGEST),
    ends,
    st.booleans(),
    st.timedeltas(timedelta(0), DAY),
)
def test_an_asset_alone_at_its_server_asks_when_its_own_schedule_says(
    failures: int,
    seed: str,
    retry_after: timedelta | None,
    ends_at: datetime | None,
    minted: bool,
    every: timedelta,
) -> None:
    standing = Standing(
        asset="web",
        started_at=NOW - DAY,
        generation=1,
        minted=minted,
        fetched_at=NOW - 2 * DAY,
        expires_at=ends_at,
        last_attempt_at=NOW,
        result=Result.FAILED,
        failures=failures,
        retry_after=retry_after,
    )
    refresh = Refresh(every=every)
    planned = due(refresh, standing, now=NOW, seed=seed)
    need = Need(ends_at=ends_at, every=shortest_interval(refresh, standing))
    until = failing(failures, draw=retry_draw(standing, seed), retry_after=retry_after).until(need)
    assert until is not None
    assert planned is None or until <= planned.at


@given(st.timedeltas(timedelta(0), 400 * DAY))
def test_a_clock_that_was_set_back_ends_the_wait(back: timedelta) -> None:
    assume(back)
    assert failing(9).lets(ANY_TIME, NOW - back)


def test_who_asks_for_a_need_of_his_own_makes_nobody_else_wait_for_longer() -> None:
    circuit, expired = failing(6), Need(ends_at=NOW)
    for tries in range(1, 4):
        at = NOW + tries * 9 * SECOND
        assert circuit.until(expired) == at
        circuit = circuit.failed(at, failures=7, draw=0.0)
    assert (circuit.failures, circuit.until()) == (6, NOW + 32 * SECOND)


def test_a_server_is_asked_as_often_as_the_interval_of_who_waits_says() -> None:
    assert failing(9).until(Need(every=10 * SECOND)) == NOW + 10 * SECOND
    assert failing(9, retry_after=MINUTE).until(Need(every=10 * SECOND)) == NOW + 10 * SECOND


# The line


def test_several_are_let_in_while_it_is_closed_and_one_while_it_is_not() -> None:
    assert free(Circuit(), BUCKET, asking=1, concurrency=3, now=NOW) == 2
    assert free(failing(1), BUCKET, asking=0, concurrency=3, now=NOW) == 1
    assert free(failing(1), BUCKET, asking=1, concurrency=3, now=NOW) == 0
    assert free(failing(1), BUCKET, asking=5, concurrency=3, now=NOW) == 0


def test_whose_files_end_first_goes_first_then_who_waited_longest() -> None:
    line = [
        waiting("model"),
        waiting("config", since=NOW - SECOND),
        waiting("later", need=Need(ends_at=NOW + DAY)),
        waiting("sooner", need=Need(ends_at=NOW + HOUR)),
    ]
    assert names(line) == ["sooner", "later", "config", "model"]
    assert names(line, most=2) == ["sooner", "later"]


def test_who_found_nobody_there_goes_behind_those_who_have_not_tried() -> None:
    line = [waiting("web", need=Need(ends_at=NOW + HOUR), failures=1), waiting("model")]
    assert names(line) == ["model", "web"]


def test_nobody_is_let_in_before_the_wait_is_over_but_whose_files_end_soon() -> None:
    line = [waiting("web", need=Need(ends_at=NOW + 10 * SECOND)), waiting("model")]
    circuit = failing(6)
    assert names(line, circuit, now=NOW + 4 * SECOND) == []
    assert names(line, circuit, now=NOW + 5 * SECOND) == ["web"]
    assert names(line, circuit, now=NOW + 32 * SECOND) == ["web", "model"]


def test_who_can_not_find_out_goes_last_and_asks_nobody_who_does_not_answer() -> None:
    line = [waiting("wait", since=NOW - HOUR, need=ONCE_IT_ANSWERS), waiting("model", failures=3)]
    assert names(line) == ["model", "wait"]
    assert names(line, failing(1), now=NOW + HOUR) == ["model"]


def test_who_was_called_and_does_not_come_lets_the_others_pass() -> None:
    line = [waiting("gone", need=Need(ends_at=NOW), called_at=NOW), waiting("model")]
    assert names(line, most=1) == ["gone"]
    assert names(line, most=1, now=NOW + LAPSE) == ["model"]
    assert names(line, most=1, now=NOW - LAPSE) == ["model"]


@given(st.lists(st.tuples(ends, st.integers(0, 3), st.none() | st.timedeltas(-2 * SECOND, timedelta(0)))), st.data())
def test_whoever_waits_is_let_in_or_looked_at_again(
    line: list[tuple[datetime | None, int, timedelta | None]], data: st.DataObject
) -> None:
    circuit = failing(data.draw(st.integers(0, 12)))
    now = NOW + data.draw(st.timedeltas(timedelta(0), 6 * MINUTE))
    stand = [
        waiting(
            str(number),
            need=Need(ends_at=ends_at),
            failures=failures,
            called_at=None if called is None else now + called,
        )
        for number, (ends_at, failures, called) in enumerate(line)
    ]
    most = free(circuit, BUCKET, asking=0, concurrency=3, now=now)
    let_in = admitted(stand, circuit, most=most, now=now)
    again = next_call(stand, circuit, BUCKET, now=now)
    assert len(let_in) <= (3 if circuit.is_closed else 1)
    assert again is None or again > now
    assert let_in or again or not stand


# The bucket


def test_the_bucket_gives_its_burst_and_then_one_each_gap() -> None:
    bucket = BUCKET
    for left in (4, 3, 2, 1, 0):
        bucket = bucket.spent(NOW)
        assert bucket.free(NOW) == left
    assert bucket.opens_at(NOW) == NOW + SECOND / 10
    assert [bucket.free(NOW + SECOND * tenths / 10) for tenths in (0.9, 1, 2, 5, 50)] == [0, 1, 2, 5, 5]


def test_an_emptied_bucket_gives_one_each_gap_from_then_on() -> None:
    bucket = BUCKET.emptied(NOW)
    assert (bucket.free(NOW), bucket.opens_at(NOW)) == (0, NOW + SECOND / 10)


@pytest.mark.parametrize("back", [SECOND, DAY, 400 * DAY])
def test_a_clock_that_was_set_back_closes_no_bucket_for_longer_than_a_gap(back: timedelta) -> None:
    assert BUCKET.opens_at(NOW - back) <= NOW - back + BUCKET.gap
    assert BUCKET.emptied(NOW).opens_at(NOW - back) <= NOW - back + BUCKET.gap


@given(st.lists(st.timedeltas(timedelta(0), SECOND), max_size=60))
def test_no_more_turns_are_given_than_the_burst_and_those_of_the_time(pauses: list[timedelta]) -> None:
    bucket, now, given_out = BUCKET, NOW, 0
    for pause in pauses:
        now += pause
        if bucket.free(now):
            assert bucket.opens_at(now) == now
            bucket, given_out = bucket.spent(now), given_out + 1
        else:
            assert bucket.opens_at(now) > now
    assert given_out <= 5 + (now - NOW) // BUCKET.gap + 1
