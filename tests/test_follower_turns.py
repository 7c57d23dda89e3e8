"""Several who wait at one server, while it doesn't answer and when it does again: real threads, a real clockwork."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from threading import Condition, Thread

import pytest

from refresher.clockwork import Clockwork
from refresher.contract import Fetched, Held, Unchanged
from refresher.errors import UnavailableError
from refresher.host import now
from refresher.keeper import Keeper
from refresher.model import Budget, Publish, Refresh
from refresher.state import CircuitState, Trigger
from refresher.triggers import Triggers
from tests.fakes.clockwork import Noted
from tests.fakes.keeping import kept_by
from tests.fakes.source import Source, asset
from tests.waiting import in_time, until

ADDRESS = "https://flags:443"
ASSETS = 10
MOMENT = 3.0
"""Seconds, on a busy machine; by the budget it is 0.4 for ten looks and ten waits."""


@dataclass
class Server:
    """Holds waits back until it has another revision; those are cut off when it goes away, and whoever asks then."""

    revision: str = "r1"
    is_away: bool = False
    refuses_waits: bool = False
    looks: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    held: int = 0
    changed: Condition = field(default_factory=Condition)

    def put(self, *, revision: str = "r1", is_away: bool = False, refuses_waits: bool = False) -> None:
        with self.changed:
            self.revision, self.is_away, self.refuses_waits = revision, is_away, refuses_waits
            self.changed.notify_all()

    def look(self) -> str:
        with self.changed:
            self.looks.append(time.monotonic())
            if self.is_away:
                raise UnavailableError("nobody answers")
            return self.revision

    def wait(self, follow: "Waiting") -> bool:
        self.waits.append(time.monotonic())
        with self.changed:
            self.held += 1
            self.changed.wait_for(lambda: self._lets_go(follow))
            self.held -= 1
            if self.is_away or self.refuses_waits or follow.is_closed:
                raise UnavailableError("nobody answers")
            follow.revision = self.revision
        return True

    def _lets_go(self, follow: "Waiting") -> bool:
        return self.is_away or self.refuses_waits or follow.is_closed or self.revision != follow.revision


@dataclass
class Waiting:
    """One who waits there."""

    server: Server
    revision: str
    is_closed: bool = False

    def wait(self) -> bool:
        return self.server.wait(self)

    def close(self) -> None:
        with self.server.changed:
            self.is_closed = True
            self.server.changed.notify_all()


@dataclass
class Waited(Source):
    """What is there."""

    endpoint: str = ADDRESS
    server: Server = field(default_factory=Server)
    follows: bool = True

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        self.put(self.server.look(), app_conf=self.server.revision.encode())
        with super().fetch(held) as answer:
            yield answer

    def follow(self, revision: str) -> Waiting:
        return Waiting(self.server, revision)


@dataclass
class Kept:
    server: Server
    keepers: list[Keeper]
    triggers: Triggers

    def failures(self) -> int:
        state = self.keepers[0].state().endpoint
        assert state
        return state.failures

    def circuits(self) -> set[CircuitState]:
        return {endpoint.circuit for keeper in self.keepers if (endpoint := keeper.state().endpoint)}

    def all_hold(self, revision: str) -> bool:
        return {keeper.state().revision for keeper in self.keepers} == {revision}


@contextmanager
def kept(tmp_path: Path, count: int = ASSETS, **budget: int) -> Iterator[Kept]:
    """Assets that look once a week, each held and waited at already."""
    server, clockwork = Server(), Clockwork(workers=16)
    web = asset(tmp_path, Waited(server=server), publish=Publish(fsync=False), refresh=Refresh(every=timedelta(days=7)))
    assets = [
        replace(web, name=f"a{number}", directory=tmp_path / f"a{number}", provider=Waited(server=server))
        for number in range(count)
    ]
    woken: list[tuple[str, Trigger]] = []
    triggers = Triggers(lambda name, trigger: woken.append((name, trigger)), seed="pod-1")
    clockwork.start()
    try:
        all_kept = Kept(server, kept_by(clockwork, assets, now, Noted(), Budget(**budget)), triggers)
        until(lambda: all_kept.all_hold("r1"))
        triggers.change(all_kept.keepers)
        until(lambda: server.held == count)
        server.looks.clear()
        server.waits.clear()
        yield all_kept
    finally:
        triggers.stop()
        clockwork.stop()


def who_follow() -> set[Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("follow ")}


def test_of_all_who_wait_at_a_server_that_goes_away_one_at_a_time_asks_it_and_that_is_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with kept(tmp_path) as one:
        one.server.put(is_away=True)
        until(lambda: one.failures() >= 4)
        assert one.server.waits == [], "who is held back says nothing for minutes: a look finds out"
        assert len(one.server.looks) <= 4
        assert CircuitState.CLOSED not in one.circuits()
        assert f"{ADDRESS} doesn't answer: until it does, one asset at a time asks it" in caplog.messages


def test_when_it_is_back_all_see_what_is_new_and_wait_again_within_a_moment_and_not_at_once(tmp_path: Path) -> None:
    def within_a_moment() -> bool:
        with kept(Path(mkdtemp(dir=tmp_path))) as one:
            one.server.put(is_away=True)
            until(lambda: one.failures() >= 3)
            with one.server.changed:  # or a look that finds nobody might be taken for the first that is answered
                one.server.looks.clear()
                one.server.put(revision="r2")
            until(lambda: one.server.looks)
            until(lambda: one.all_hold("r2") and one.server.held == ASSETS)
            took = time.monotonic() - one.server.looks[0]
            asked = sorted(one.server.looks + one.server.waits)
            assert asked[2 * ASSETS - 1] - asked[0] >= 0.9 * (2 * ASSETS - 1) / 50
            assert one.circuits() == {CircuitState.CLOSED}
            return took < MOMENT

    assert in_time(within_a_moment)


def test_who_is_held_back_takes_no_turn_from_a_look(tmp_path: Path) -> None:
    with kept(tmp_path, 5, concurrency=1) as one:
        one.server.revision = "r2"  # without a word to those who wait
        looked = one.keepers[0].request().visible.result(30)
        assert looked.revision == "r2"
        assert one.server.held == 5


def test_a_server_that_refuses_to_be_waited_at_and_answers_is_asked_to_ever_more_seldom(tmp_path: Path) -> None:
    with kept(tmp_path, 1) as one:
        one.server.put(refuses_waits=True)
        until(lambda: len(one.server.waits) >= 2)
        again, after_that, *_ = one.server.waits
        assert after_that - again >= 2
        until(lambda: one.circuits() == {CircuitState.CLOSED})


def test_who_waits_for_it_to_answer_can_be_stopped(tmp_path: Path) -> None:
    before = who_follow()
    with kept(tmp_path, 3) as one:
        one.server.put(is_away=True)
        until(lambda: one.failures() >= 2)
        assert len(who_follow() - before) == 3
        one.triggers.stop()
        until(lambda: not who_follow() - before)


def test_whoever_is_stopped_while_he_is_held_back_has_not_found_the_server_away(tmp_path: Path) -> None:
    before = who_follow()
    with kept(tmp_path, 3) as one:
        one.triggers.change(one.keepers[:1])
        until(lambda: len(who_follow() - before) == 1)
        assert one.circuits() == {CircuitState.CLOSED}
        assert one.failures() == 0
