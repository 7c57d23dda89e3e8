"""Waiting at a source, and what follows."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue

import pytest

from refresher.endpoint import Endpoint
from refresher.errors import PermanentError, TransientError, UnavailableError
from refresher.follower import FLOOR, Follower, Pace
from refresher.model import Budget
from refresher.state import AssetState
from refresher.turns import Waits
from tests.fakes.clockwork import Turned
from tests.fakes.sidecar import state
from tests.fakes.source import Source, Time, asset
from tests.waiting import until

LATER = timedelta(minutes=5)


def pace(seed: str = "pod-1") -> Pace:
    return Pace(seed=seed, asset="web")


def seconds(pause: timedelta) -> float:
    return pause.total_seconds()


def test_after_a_long_wait_the_next_one_begins_at_once() -> None:
    assert pace().waited(60, published=False) == timedelta(0)


def test_two_waits_never_begin_within_a_second() -> None:
    assert seconds(pace().waited(0.3, published=True)) == pytest.approx(FLOOR - 0.3)


@pytest.mark.parametrize("lasted", [0.01, 2.0])
def test_a_server_that_does_not_wait_or_hardly_is_asked_ever_more_seldom(lasted: float) -> None:
    ignored = pace()
    pauses = [seconds(ignored.waited(lasted, published=False)) for _ in range(12)]
    assert pauses[0] <= 1
    assert all(0.75 * min(2.0**doublings, 300) <= pauses[doublings] for doublings in range(1, 12))
    assert max(pauses) <= 300


def test_changes_that_follow_close_upon_each_other_are_not_slowed_down() -> None:
    busy = pace()
    assert [seconds(busy.waited(0.0, published=True)) for _ in range(5)] == [FLOOR] * 5


def test_errors_back_off_and_pods_do_not_come_back_together() -> None:
    pauses = [seconds(pace(f"pod-{number}").failed(0.1, TransientError("away"))) for number in range(100)]
    assert min(pauses) >= 1
    assert max(pauses) - min(pauses) > 2.5
    again = pace()
    assert seconds([again.failed(0.1, TransientError("away")) for _ in range(20)][-1]) == 300


def test_a_connection_that_was_cut_after_half_a_minute_is_no_trouble() -> None:
    behind_a_proxy = pace()
    assert all(seconds(behind_a_proxy.failed(60, TransientError("cut off"))) <= 4 for _ in range(10))


def test_a_retry_after_is_obeyed_for_an_hour_at_most() -> None:
    told = TransientError("busy", retry_after=timedelta(minutes=20))
    assert pace().failed(0.1, told) == timedelta(minutes=20)
    hostile = TransientError("busy", retry_after=timedelta(days=300))
    assert pace().failed(0.1, hostile) == timedelta(hours=1)


def test_what_is_permanent_is_tried_again_after_minutes() -> None:
    assert 0.75 * LATER <= pace().failed(0.1, PermanentError("forbidden")) <= LATER


@dataclass
class Bell:
    """A source that answers waits as the test says: news or none at once, none after so many seconds, or an error."""

    follows: bool = True
    told: list[str] = field(default_factory=list)
    closed: int = 0
    waits: int = 0
    answers: SimpleQueue[bool | float | Exception] = field(default_factory=SimpleQueue)
    now: float = 0.0

    def follow(self, revision: str) -> "Bell":
        self.told.append(revision)
        return self

    def wait(self) -> bool:
        self.waits += 1
        answer = self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        self.now += 0 if isinstance(answer, bool) else answer
        return answer is True

    def close(self) -> None:
        self.closed += 1
        self.answers.put(TransientError("closed"))


def endpoint(address: str = "") -> Endpoint:
    clock = Time()
    return Endpoint(address, Budget(), clockwork=Turned(clock), clock=clock)


@contextmanager
def followed(
    tmp_path: Path,
    bell: Bell,
    look: Callable[[], None],
    standing: Callable[[], AssetState],
    at: Endpoint | None = None,
) -> Iterator[None]:
    at = at or endpoint()
    follower = Follower(
        asset(tmp_path, Source()),
        bell,
        waits=lambda wake: Waits("web", at, clock=Time(), look=look, wake=wake),
        look=look,
        state=standing,
        seed="pod-1",
        clock=lambda: bell.now,
    )
    follower.start()
    try:
        yield
    finally:
        follower.stop()


def test_news_at_the_source_are_looked_at_once_each(tmp_path: Path) -> None:
    bell, looks = Bell(), list[int]()
    with followed(tmp_path, bell, lambda: looks.append(1), lambda: state("web", revision="r7")):
        bell.answers.put(False)
        until(lambda: bell.waits == 2)
        assert (bell.told, looks) == (["r7"], [])
        bell.answers.put(True)
        until(lambda: looks == [1])


def test_nobody_waits_before_anything_is_held(tmp_path: Path) -> None:
    bell, held = Bell(), list[AssetState]()

    def standing() -> AssetState:
        return held[0] if held else state("web", generation=None, revision=None)

    with followed(tmp_path, bell, lambda: None, standing):
        held.append(state("web", revision="first"))
        until(lambda: bell.waits)
    assert bell.told == ["first"]


def test_whoever_stops_waiting_before_anything_is_held_never_asks(tmp_path: Path) -> None:
    bell = Bell()
    with followed(tmp_path, bell, lambda: None, lambda: state("web", generation=None)):
        pass
    assert bell.told == []


def test_stopping_closes_the_wait_once_and_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bell = Bell()
    with followed(tmp_path, bell, lambda: None, lambda: state("web")):
        until(lambda: bell.waits)
    until(lambda: bell.answers.empty())
    assert bell.closed == 1
    assert caplog.messages == []


def test_trouble_is_said_once_and_so_is_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bell = Bell()
    with followed(tmp_path, bell, lambda: None, lambda: state("web")):
        for answer in (False, False, False, 60.0, 60.0):
            bell.answers.put(answer)
        # After the first three are pauses of 1, 1.5 to 2, and 3 to 4 seconds.
        until(lambda: bell.waits == 6, within=60)
    assert caplog.messages == [
        "web: can't be followed, and is looked at on the interval: its server answers at once instead of waiting",
        "web: followed again: its source waits until it changes",
    ]


@pytest.mark.parametrize(("lasted", "pinned", "failures"), [(0.0, False, 1), (60.0, False, 0), (0.0, True, 0)])
def test_a_wait_that_finds_nobody_counts_for_all_unless_a_proxy_was_impatient_or_no_look_would_take_it_back(
    tmp_path: Path, lasted: float, pinned: bool, failures: int
) -> None:
    bell, server, looks = Bell(), endpoint("https://flags:443"), list[int]()
    with followed(tmp_path, bell, lambda: looks.append(1), lambda: state("web", pinned=pinned), server):
        until(lambda: bell.waits)
        bell.now = lasted
        bell.answers.put(UnavailableError("nobody answers"))
        until(lambda: looks if failures else bell.waits == 2)
        shown = server.state()
        assert shown
        assert shown.failures == failures


def test_an_unexpected_error_is_no_end_and_its_text_is_not_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bell = Bell()
    with followed(tmp_path, bell, lambda: None, lambda: state("web")):
        bell.answers.put(ValueError("hunter2"))
        until(lambda: caplog.messages)
    assert "ValueError at" in caplog.text
    assert "hunter2" not in caplog.text


@dataclass
class Buggy(Bell):
    """A source whose wait can't be begun, or ended."""

    unbegun: list[Exception] = field(default_factory=list)
    unended: Exception | None = None

    def follow(self, revision: str) -> "Bell":
        if self.unbegun:
            raise self.unbegun.pop()
        return super().follow(revision)

    def close(self) -> None:
        super().close()
        if self.unended:
            raise self.unended


def test_a_wait_that_can_not_be_begun_is_tried_again(tmp_path: Path) -> None:
    bell = Buggy(unbegun=[TransientError("away")])
    with followed(tmp_path, bell, lambda: None, lambda: state("web")):
        until(lambda: bell.waits, within=30)


def test_a_bug_where_a_wait_begins_is_said_without_its_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bell = Buggy(unbegun=[ValueError("hunter2")])
    with followed(tmp_path, bell, lambda: None, lambda: state("web")):
        until(lambda: caplog.messages)
    assert "unexpected ValueError at" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_wait_that_can_not_be_ended_holds_up_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bell = Buggy(unended=ValueError("hunter2"))
    with followed(tmp_path, bell, lambda: None, lambda: state("web")):
        until(lambda: bell.waits)
    assert "web: a wait could not be ended, unexpected ValueError at" in caplog.text
    assert "hunter2" not in caplog.text
