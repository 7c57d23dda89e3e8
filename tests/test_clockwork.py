import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from refresher.clockwork import Clockwork, grouped
from tests.waiting import in_time, until

FAR = datetime(9999, 12, 31, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def clockwork() -> Iterator[Clockwork]:
    clockwork = Clockwork(workers=12)
    clockwork.start()
    yield clockwork
    clockwork.stop()


class Counted:
    """An action that counts its runs and how many of them ran at once; it goes on only when `go` is set."""

    def __init__(self, *, go: bool = True) -> None:
        self.lock = threading.Lock()
        self.go = threading.Event()
        self.begun = self.ended = self.at_once = 0
        if go:
            self.go.set()

    def __call__(self) -> None:
        with self.lock:
            self.begun += 1
            self.at_once = max(self.at_once, self.begun - self.ended)
        self.go.wait(20)
        with self.lock:
            self.ended += 1


def replaced_in_time(clockwork: Clockwork, key: str, replace: Callable[[], None]) -> tuple[Counted, datetime]:
    """An action armed for a moment, which is returned too, that came only after `replace` had been called."""
    for milliseconds in (50, 500, 5000):
        action, when = Counted(), now() + timedelta(milliseconds=milliseconds)
        clockwork.at(key, when, action)
        replace()
        if now() < when:
            return action, when
    pytest.fail("the moment always came sooner")


def test_an_action_runs_at_its_moment_and_once(clockwork: Clockwork) -> None:
    def on_time() -> bool:
        ran: list[datetime] = []
        when, after = now() + timedelta(milliseconds=150), Counted()
        clockwork.at("a", when, lambda: ran.append(now()))
        clockwork.at("b", when + timedelta(milliseconds=150), after)
        until(lambda: ran and after.ended)
        assert len(ran) == 1
        assert ran[0] >= when
        return ran[0] - when < timedelta(seconds=2)

    assert in_time(on_time)


def test_a_moment_in_another_time_zone_is_the_same_moment(clockwork: Clockwork) -> None:
    action = Counted()
    clockwork.at("a", now().astimezone(timezone(timedelta(hours=-9))), action)
    until(lambda: action.ended)


def test_an_action_that_is_hours_late_still_runs(clockwork: Clockwork) -> None:
    action = Counted()
    clockwork.at("a", now() - timedelta(hours=7), action)
    until(lambda: action.ended == 1)


def test_what_was_armed_before_the_start_runs_after_it_and_only_the_latest() -> None:
    clockwork, first, second, third, cancelled = Clockwork(workers=2), Counted(), Counted(), Counted(), Counted()
    clockwork.at("a", now(), first)
    clockwork.at("a", now(), second)
    clockwork.at("c", now(), cancelled)
    clockwork.at("c", now(), cancelled)
    clockwork.cancel("c")
    clockwork.start()
    clockwork.at("b", now() + timedelta(milliseconds=100), third)
    until(lambda: second.ended and third.ended)
    assert (first.begun, cancelled.begun) == (0, 0)
    clockwork.stop()


def test_the_latest_moment_wins_whether_earlier_or_later(clockwork: Clockwork) -> None:
    later, sooner, after = Counted(), Counted(), Counted()
    clockwork.at("a", FAR, later)
    clockwork.at("a", now(), sooner)
    first, when = replaced_in_time(clockwork, "b", lambda: clockwork.at("b", FAR, later))
    clockwork.at("c", when + timedelta(milliseconds=100), after)
    until(lambda: sooner.ended and after.ended)
    assert (later.begun, first.begun) == (0, 0)


def test_a_cancelled_action_does_not_run_and_cancelling_nothing_is_fine(clockwork: Clockwork) -> None:
    after = Counted()
    cancelled, when = replaced_in_time(clockwork, "a", lambda: clockwork.cancel("a"))
    clockwork.cancel("never armed")
    clockwork.at("b", when + timedelta(milliseconds=100), after)
    until(lambda: after.ended)
    assert cancelled.begun == 0


def test_an_action_armed_while_it_runs_runs_again_afterwards_and_never_twice_at_once(clockwork: Clockwork) -> None:
    action, neighbour = Counted(go=False), Counted()
    clockwork.at("a", now(), action)
    until(lambda: action.begun)
    for turn in range(1, 6):
        clockwork.at("a", now(), action)
        clockwork.at("b", now(), neighbour)
        until(lambda turn=turn: neighbour.ended == turn)  # so the scheduler's loop has been past the key's job too
    assert action.begun == 1
    action.go.set()
    until(lambda: action.ended == 2)
    clockwork.at("b", now() + timedelta(milliseconds=100), neighbour)
    until(lambda: neighbour.ended == 6)
    assert (action.begun, action.at_once) == (2, 1)


def test_a_later_moment_given_while_the_action_runs_replaces_the_run_that_was_to_follow(clockwork: Clockwork) -> None:
    running, follower, neighbour = Counted(go=False), Counted(), Counted()
    clockwork.at("a", now(), running)
    until(lambda: running.begun)
    clockwork.at("a", now(), follower)
    clockwork.at("b", now(), neighbour)
    until(lambda: neighbour.ended)
    clockwork.at("a", FAR, follower)
    running.go.set()
    until(lambda: running.ended)
    clockwork.at("b", now() + timedelta(milliseconds=100), neighbour)
    until(lambda: neighbour.ended == 2)
    assert follower.begun == 0


def test_an_action_can_arm_its_own_key(clockwork: Clockwork) -> None:
    runs: list[int] = []

    def action() -> None:
        runs.append(len(runs))
        if len(runs) < 50:
            clockwork.at("a", now(), action)

    clockwork.at("a", now(), action)
    until(lambda: len(runs) == 50)


def test_arming_one_key_from_many_threads_loses_nothing_and_overlaps_nothing(clockwork: Clockwork) -> None:
    action, last = Counted(), Counted()

    def arm() -> None:
        for _ in range(200):
            clockwork.at("a", now(), action)

    threads = [threading.Thread(target=arm) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clockwork.at("a", now(), last)
    until(lambda: last.ended == 1)
    assert action.at_once <= 1
    assert action.begun == action.ended


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3)])
def test_an_action_that_fails_is_logged_and_its_key_can_be_armed_again(
    clockwork: Clockwork, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def fails() -> None:
        raise error

    action = Counted()
    with caplog.at_level(logging.ERROR):
        clockwork.at("web-tls", now(), fails)
        until(lambda: caplog.records)
    clockwork.at("web-tls", now(), action)
    until(lambda: action.ended)
    assert "web-tls" in caplog.records[0].getMessage()
    assert caplog.records[0].exc_info


def test_ten_actions_that_never_end_do_not_hold_up_an_eleventh(clockwork: Clockwork) -> None:
    stuck = [Counted(go=False) for _ in range(10)]
    for number, action in enumerate(stuck):
        clockwork.at(f"stuck-{number}", now(), action)
    until(lambda: all(action.begun for action in stuck))
    eleventh = Counted()
    for expected in range(1, 4):
        clockwork.at("eleventh", now(), eleventh)
        until(lambda expected=expected: eleventh.ended == expected)
    for action in stuck:
        action.go.set()


def test_no_more_actions_run_at_once_than_there_are_workers_and_the_rest_follow() -> None:
    clockwork, action = Clockwork(workers=2), Counted(go=False)
    clockwork.start()
    for number in range(6):
        clockwork.at(f"key-{number}", now(), action)
    until(lambda: action.begun == 2)
    action.go.set()
    until(lambda: action.ended == 6)
    assert action.at_once == 2
    clockwork.stop()


def test_threads_are_started_only_when_they_are_needed() -> None:
    before = set(threading.enumerate())

    def needs_few() -> bool:
        clockwork, action = Clockwork(workers=50), Counted()
        clockwork.start()
        for expected in range(1, 21):
            clockwork.at("a", now(), action)
            until(lambda expected=expected: action.ended == expected)
        started = set(threading.enumerate()) - before
        clockwork.stop()
        until(lambda: before.issuperset(threading.enumerate()))
        return len(started) <= 3  # the loop, one worker, and perhaps one that overlapped

    assert in_time(needs_few)


def test_quick_actions_wait_for_the_thread_at_work_instead_of_starting_their_own(clockwork: Clockwork) -> None:
    def share() -> bool:
        threads: list[int] = []
        soon = now() + timedelta(milliseconds=50)
        for number in range(50):
            clockwork.at(f"key-{number}", soon, lambda: threads.append(threading.get_ident()))
        until(lambda: len(threads) == 50)
        return len(set(threads)) <= 3  # one, and perhaps more where the machine is busy

    assert in_time(share)


def test_what_is_armed_for_seconds_ahead_is_never_early_and_hardly_late(clockwork: Clockwork) -> None:
    def hardly_late() -> bool:
        moments = [now() + timedelta(seconds=4, milliseconds=100 * step) for step in range(1, 6)]
        ran: dict[int, datetime] = {}
        for number, moment in enumerate(moments):
            clockwork.at(f"key-{number}", moment, lambda number=number: ran.update({number: now()}))
        until(lambda: len(ran) == 5)
        late = [ran[number] - moment for number, moment in enumerate(moments)]
        assert min(late) >= timedelta(0)
        return max(late) < timedelta(seconds=1)

    assert in_time(hardly_late)


@pytest.mark.parametrize(("ahead", "waits"), [(3.9, 3.9), (4.1, 4.2), (4.2, 4.2), (4.3, 4.7), (86401, 86401)])
def test_moments_seconds_ahead_are_on_a_grid_that_began_with_the_process(ahead: float, waits: float) -> None:
    present = datetime(2026, 11, 22, 12, tzinfo=UTC)
    began = present - timedelta(milliseconds=300)
    moment = grouped(present + timedelta(seconds=ahead), now=present, began=began)
    assert moment - present == timedelta(seconds=waits)


def test_stopping_waits_for_no_action_and_nothing_runs_afterwards() -> None:
    before = set(threading.enumerate())
    clockwork = Clockwork(workers=1, beat=timedelta(milliseconds=10))
    hanging, queued = Counted(go=False), Counted()
    clockwork.start()
    clockwork.at("a", now(), hanging)
    until(lambda: hanging.begun)
    clockwork.at("b", now(), queued)
    armed = now()
    until(lambda: clockwork.beat_at > armed + timedelta(milliseconds=50))  # so that it waits for a thread by now
    clockwork.stop()
    clockwork.stop()
    assert not hanging.ended
    clockwork.at("a", now(), queued)
    clockwork.cancel("a")
    hanging.go.set()
    until(lambda: hanging.ended)
    until(lambda: before.issuperset(threading.enumerate()))
    assert queued.begun == 0


def test_stopping_what_was_never_started_is_fine() -> None:
    Clockwork(workers=1).stop()


def test_a_hanging_action_does_not_keep_the_process_alive() -> None:
    script = """
import threading, datetime
from refresher.clockwork import Clockwork
clockwork, begun = Clockwork(workers=2), threading.Event()
clockwork.start()
clockwork.at("a", datetime.datetime.now(datetime.UTC), lambda: (begun.set(), threading.Event().wait()))
assert begun.wait(30)
clockwork.stop()
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0


def test_the_heart_beats_while_nothing_is_armed_and_while_all_workers_are_busy() -> None:
    clockwork, stuck = Clockwork(workers=1, beat=timedelta(milliseconds=20)), Counted(go=False)
    clockwork.start()
    for key in ("a", "b"):
        clockwork.at(key, now(), stuck)
    clockwork.at("c", FAR, stuck)
    until(lambda: stuck.begun)
    for _ in range(3):
        last = clockwork.beat_at
        until(lambda last=last: clockwork.beat_at > last)
    until(lambda: abs(now() - clockwork.beat_at) < timedelta(seconds=5))
    clockwork.stop()
    stuck.go.set()


def test_what_is_armed_for_later_leaves_the_loop_asleep_and_what_comes_sooner_wakes_it() -> None:
    clockwork, action = Clockwork(workers=2, beat=timedelta(hours=1)), Counted()
    clockwork.start()
    clockwork.at("first", now() + timedelta(hours=2), Counted())
    until(lambda: now() - clockwork.beat_at > timedelta(milliseconds=200))

    def stays_asleep() -> bool:  # it doesn't if it was only slow to fall asleep
        asleep_since = clockwork.beat_at
        for number in range(50):
            clockwork.at(f"later-{number}", now() + timedelta(hours=1, minutes=1), Counted())
        armed = now()
        until(lambda: now() - armed > timedelta(milliseconds=500))
        return clockwork.beat_at == asleep_since

    assert in_time(stays_asleep)
    clockwork.at("soon", now() + timedelta(milliseconds=100), action)
    until(lambda: action.ended)
    clockwork.stop()


def test_the_heart_of_a_loop_that_has_ended_no_longer_beats() -> None:
    dead, living = (Clockwork(workers=1, beat=timedelta(milliseconds=10)) for _ in range(2))
    dead.start()
    living.start()
    dead.stop()
    last = dead.beat_at
    until(lambda: living.beat_at - last > timedelta(milliseconds=100))
    assert dead.beat_at == last
    living.stop()
