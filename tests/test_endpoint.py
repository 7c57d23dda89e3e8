"""Assets of one server, kept by a clockwork that the test turns, and the turns that they are given."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refresher.circuit import ANY_TIME, LAPSE, Need
from refresher.contract import Fetched, Held, Lease, Unchanged
from refresher.endpoint import Endpoint, Endpoints, Turn, Unavailable
from refresher.errors import PermanentError, TransientError, UnavailableError
from refresher.keeper import Keeper
from refresher.model import Asset, Budget, Outcome, Publish, Refresh, Result
from refresher.renewal import OVERDUE
from refresher.sources import Sources
from tests.fakes.clockwork import Turned
from tests.fakes.keeping import all_kept
from tests.fakes.source import NOON, Logins, Source, Time, asset

VAULT = "https://vault:8200"
SECOND = timedelta(seconds=1)
AWAY = UnavailableError("nobody answers")


def sources(count: int, **facts: object) -> dict[str, Source]:
    return {f"a{number}": Source(endpoint=VAULT, **facts) for number in range(count)}  # type: ignore[arg-type]


def assets(volume: Path, made: dict[str, Source], **refresh: object) -> list[Asset]:
    publish, often = Publish(fsync=False), Refresh(**refresh)  # type: ignore[arg-type]
    return [
        replace(asset(volume, source, publish=publish, refresh=often), name=name, directory=volume / name)
        for name, source in made.items()
    ]


def go_away(made: dict[str, Source], trouble: Exception | None = AWAY) -> None:
    for source in made.values():
        source.trouble = trouble


def pauses(outcomes: list[Outcome]) -> list[float]:
    began = sorted(outcome.started_at for outcome in outcomes)
    return [(later - sooner).total_seconds() for sooner, later in pairwise(began)]


def circuits(keepers: list[Keeper]) -> set[str]:
    return {endpoint.circuit for keeper in keepers if (endpoint := keeper.state().endpoint)}


# Outages


def test_a_dead_server_costs_one_attempt_at_a_time_with_growing_pauses_however_many_assets_it_has(
    tmp_path: Path,
) -> None:
    clock, made = Time(), sources(30, trouble=AWAY)
    _, clockwork, noted = all_kept(assets(tmp_path, made), clock)
    clockwork.turn(minutes=30)
    waits = [min(2.0**doublings, 300) for doublings in range(20)]
    assert 10 <= len(noted.outcomes) <= 15
    for pause, wait in zip(pauses(noted.outcomes), waits, strict=False):
        assert 0.75 * wait - 0.001 <= pause <= wait + 0.5
    assert len({outcome.asset for outcome in noted.outcomes}) == len(noted.outcomes)


def test_when_it_is_back_all_are_fresh_within_a_second_and_not_at_once(tmp_path: Path) -> None:
    clock, made = Time(), sources(30, trouble=AWAY)
    keepers, clockwork, noted = all_kept(assets(tmp_path, made), clock)
    clockwork.turn(minutes=30)
    go_away(made, None)
    clockwork.turn(minutes=6)
    fresh = [outcome.started_at for outcome in noted.outcomes if outcome.result is Result.PUBLISHED]
    assert len(fresh) == 30
    assert 28 * SECOND / 50 <= max(fresh) - min(fresh) <= SECOND
    assert circuits(keepers) == {"closed"}


def test_those_who_failed_with_it_ask_once_when_it_is_back_and_do_not_wait_for_their_own_back_off(
    tmp_path: Path,
) -> None:
    clock, made = Time(), sources(5)
    keepers, clockwork, noted = all_kept(assets(tmp_path, made, every=timedelta(seconds=5)), clock)
    clockwork.turn(seconds=1)
    go_away(made)
    clockwork.turn(minutes=20)
    assert min(keeper.state().consecutive_failures for keeper in keepers) > 1
    go_away(made, None)
    noted.outcomes.clear()
    keepers[0].request()
    clockwork.turn(seconds=1)
    assert [outcome.result for outcome in noted.outcomes] == [Result.UNCHANGED] * len(made)
    assert {outcome.asset for outcome in noted.outcomes} == set(made)


def test_an_asset_that_alone_has_a_server_asks_it_once_when_it_is_back(tmp_path: Path) -> None:
    clock, made = Time(), sources(1)
    _, clockwork, noted = all_kept(assets(tmp_path, made, every=timedelta(seconds=10)), clock)
    clockwork.turn(seconds=1)
    go_away(made)
    clockwork.turn(minutes=1)
    go_away(made, None)
    noted.outcomes.clear()
    while not noted.outcomes:
        clockwork.turn(seconds=1)
    clockwork.turn(milliseconds=200)
    assert [outcome.result for outcome in noted.outcomes] == [Result.UNCHANGED]


def test_an_asset_of_another_server_does_not_notice(tmp_path: Path) -> None:
    clock, made = Time(), sources(5, trouble=AWAY)
    made["other"] = Source(endpoint="https://elsewhere:443")
    _, clockwork, noted = all_kept(assets(tmp_path, made, every=timedelta(seconds=5)), clock)
    clockwork.turn(minutes=5)
    assert max(pauses([outcome for outcome in noted.outcomes if outcome.asset == "other"])) <= 6


def test_assets_of_several_sources_of_one_server_find_together_that_it_is_away(tmp_path: Path) -> None:
    clock, made = Time(), sources(20, trouble=AWAY)
    several = [
        replace(one, provider=Sources({"one": source, "other": Source(endpoint=VAULT)}, timeout=SECOND * 60))
        for one, source in zip(assets(tmp_path, made), made.values(), strict=True)
    ]
    keepers, clockwork, noted = all_kept(several, clock)
    clockwork.turn(minutes=30)
    assert circuits(keepers) == {"open"}
    assert 10 <= len(noted.outcomes) <= 15


def test_of_several_servers_one_that_is_away_keeps_no_lease_of_another_from_being_ended(tmp_path: Path) -> None:
    clock = Time()
    logins, flags = Logins(endpoint=VAULT, clock=clock), Source(endpoint="https://elsewhere:443")
    both = Sources({"login": logins, "flags": flags}, timeout=SECOND * 60)
    (web,) = assets(tmp_path, {"web": Source()}, every=timedelta(0))
    (keeper,), clockwork, _ = all_kept([replace(web, provider=both)], clock)
    clockwork.turn(seconds=1)
    keeper.request()
    clockwork.turn(seconds=1)
    flags.trouble = AWAY
    keeper.request()
    clockwork.turn(minutes=2)
    assert logins.ended == ["login1"]


def test_a_failure_that_is_one_assets_own_puts_nobody_off(tmp_path: Path) -> None:
    clock, made = Time(), sources(2)
    made["a0"].trouble = TransientError("500 for this path")
    keepers, clockwork, noted = all_kept(assets(tmp_path, made, every=timedelta(seconds=5)), clock)
    clockwork.turn(minutes=5)
    assert max(pauses([outcome for outcome in noted.outcomes if outcome.asset == "a1"])) <= 6
    assert circuits(keepers) == {"closed"}


def test_an_asset_that_alone_finds_nobody_delays_no_neighbour_for_more_than_a_second_and_keeps_its_own_back_off(
    tmp_path: Path,
) -> None:
    clock, made = Time(), sources(6)
    made["a0"].trouble = UnavailableError("503 for this path")
    _, clockwork, noted = all_kept(assets(tmp_path, made, every=timedelta(seconds=5)), clock)
    clockwork.turn(minutes=30)
    for name in list(made)[1:]:
        assert max(pauses([outcome for outcome in noted.outcomes if outcome.asset == name])) <= 6.5
    assert len([outcome for outcome in noted.outcomes if outcome.asset == "a0"]) <= 16


def test_what_has_expired_is_asked_for_every_ten_seconds_by_one_for_all(tmp_path: Path) -> None:
    clock = Time()
    lease = Lease(id="l", granted_at=NOON, duration=timedelta(seconds=60), renewable=False)
    made = sources(10, lease=lease, minted=True)
    _, clockwork, noted = all_kept(assets(tmp_path, made), clock)
    clockwork.turn(seconds=20)
    go_away(made)
    clockwork.turn(minutes=20)
    late = [outcome for outcome in noted.outcomes if outcome.started_at > NOON + timedelta(minutes=2)]
    assert max(pauses(late)) <= OVERDUE.total_seconds() + 0.5
    assert min(pauses(late)) >= 1
    assert len(late) <= 150


def test_an_expired_asset_that_alone_finds_nobody_keeps_no_neighbour_out(tmp_path: Path) -> None:
    clock, made = Time(), sources(4)
    made["a0"].lease = Lease(id="l", granted_at=NOON, duration=timedelta(seconds=20), renewable=False)
    _, clockwork, noted = all_kept(assets(tmp_path, made), clock)
    clockwork.turn(seconds=1)
    made["a0"].trouble = UnavailableError("503 for this path")
    clockwork.turn(minutes=30)
    for name in list(made)[1:]:
        assert max(pauses([outcome for outcome in noted.outcomes if outcome.asset == name])) <= 330 + 1.5


def test_a_server_is_asked_no_more_rarely_than_the_interval_says_and_by_one_for_all(tmp_path: Path) -> None:
    clock, made = Time(), sources(30)
    _, clockwork, noted = all_kept(assets(tmp_path, made, every=timedelta(seconds=30)), clock)
    clockwork.turn(seconds=1)
    go_away(made)
    clockwork.turn(minutes=30)
    late = [outcome for outcome in noted.outcomes if outcome.started_at > NOON + timedelta(minutes=2)]
    assert max(pauses(late)) <= 33.5
    assert len(late) <= 28 * 60 / 27 + 10


def test_whose_files_end_first_asks_for_all(tmp_path: Path) -> None:
    clock, made = Time(), sources(9)
    lease = Lease(id="l", granted_at=NOON, duration=timedelta(minutes=10), renewable=False)
    made["a7"].lease = lease
    keepers, clockwork, noted = all_kept(assets(tmp_path, made), clock)
    clockwork.turn(seconds=1)
    go_away(made)
    noted.outcomes.clear()
    keepers[0].request()
    for keeper in keepers:
        keeper.look_now()
    clockwork.turn(seconds=1)
    assert [outcome.asset for outcome in noted.outcomes] == ["a0", "a7"]


def test_who_asks_by_hand_is_not_put_off_and_what_he_learns_counts_for_all(tmp_path: Path) -> None:
    clock, made = Time(), sources(5, trouble=AWAY)
    keepers, clockwork, _noted = all_kept(assets(tmp_path, made), clock)
    clockwork.turn(minutes=20)
    request = keepers[4].request()
    clockwork.turn(seconds=0)
    assert request.visible.result(0).result is Result.FAILED
    go_away(made, None)
    request = keepers[4].request()
    clockwork.turn(seconds=0)
    assert request.visible.result(0).result is Result.PUBLISHED
    clockwork.turn(seconds=1)
    assert [keeper.state().generation for keeper in keepers] == [1] * 5


def test_what_was_wanted_while_it_was_away_is_done_when_it_is_back(tmp_path: Path) -> None:
    clock, made = Time(), sources(2)
    keepers, clockwork, _noted = all_kept(assets(tmp_path, made, every=timedelta(0)), clock)
    clockwork.turn(seconds=1)
    go_away(made)
    keepers[0].request()
    clockwork.turn(seconds=0)
    made["a1"].put("r2", app_conf=b"two")
    keepers[1].look_now()
    go_away(made, None)
    clockwork.turn(seconds=3)
    assert keepers[1].state().revision == "r2"


def test_the_state_says_who_is_away_until_when_and_what_comes_next(tmp_path: Path) -> None:
    clock, made = Time(), sources(30, trouble=AWAY)
    keepers, clockwork, _ = all_kept(assets(tmp_path, made), clock)
    clockwork.turn(minutes=12)
    for keeper in keepers:
        state = keeper.state()
        assert state.endpoint
        assert (state.endpoint.address, state.endpoint.circuit) == (VAULT, "open")
        assert state.endpoint.failures >= 9
        assert state.next_refresh_at == state.endpoint.until
        assert state.why_next == "endpoint"


def test_a_line_is_written_when_it_goes_away_and_one_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock, made = Time(), sources(3, trouble=AWAY)
    _, clockwork, _ = all_kept(assets(tmp_path, made), clock)
    clockwork.turn(minutes=10)
    go_away(made, None)
    clockwork.turn(minutes=6)
    lines = [record for record in caplog.records if hasattr(record, "endpoint")]
    assert [record.getMessage() for record in lines] == [
        f"{VAULT} doesn't answer: until it does, one asset at a time asks it",
        f"{VAULT} answers again",
    ]
    assert (lines[1].__dict__["failures"], lines[1].__dict__["endpoint"]) == (3, VAULT)


def test_leases_are_ended_only_while_the_server_answers(tmp_path: Path) -> None:
    clock = Time()
    made: dict[str, Source] = {"logins": Logins(endpoint=VAULT, clock=clock), **sources(1)}
    logins = made["logins"]
    assert isinstance(logins, Logins)
    keepers, clockwork, _ = all_kept(assets(tmp_path, made), clock)
    clockwork.turn(seconds=1)
    keepers[0].request()
    clockwork.turn(seconds=10)
    go_away(made)
    keepers[1].request()
    clockwork.turn(minutes=5)
    assert logins.ended == []
    go_away(made, None)
    clockwork.turn(minutes=6)
    assert logins.ended == ["login1"]


# Turns


def endpoint(clock: Time, address: str = VAULT, **budget: int) -> tuple[Endpoint, Turned]:
    clockwork = Turned(clock)
    return Endpoint(address, Budget(**budget), clockwork=clockwork, clock=clock), clockwork


@dataclass
class Callers:
    """Those who want turns: they come when they are called, and note it."""

    endpoint: Endpoint
    called: list[str]
    turns: list[Turn]

    @classmethod
    def of(cls, endpoint: Endpoint) -> "Callers":
        return cls(endpoint, [], [])

    def ask(self, name: str, *, need: Need = ANY_TIME) -> Turn | None:
        turn = self.endpoint.turn(name, need=need, wake=lambda: self.called.append(name))
        if turn:
            self.turns.append(turn)
        return turn

    def begin(self, name: str) -> Turn:
        turn = self.ask(name)
        assert turn
        return turn


def failures(one: Endpoint) -> int:
    state = one.state()
    assert state
    return state.failures


def test_no_more_than_the_budget_ask_at_once_and_the_next_is_called_when_one_is_done() -> None:
    one, _ = endpoint(Time(), concurrency=2)
    callers = Callers.of(one)
    assert [callers.ask(name) is not None for name in "abcd"] == [True, True, False, False]
    callers.turns[0].answered()
    assert callers.called == ["c"]
    callers.turns[1].answered()
    assert callers.called == ["c", "d"]
    assert callers.ask("d")


def test_a_turn_is_given_back_once_whatever_is_learned_of_it_later() -> None:
    one, _ = endpoint(Time(), concurrency=1)
    callers = Callers.of(one)
    with callers.begin("a") as turn:
        turn.answered()
        turn.answered()
        turn.failed(Unavailable(at=NOON, failures=1, draw=0.0))
    assert failures(one) == 0
    assert callers.ask("b")
    assert not callers.ask("c")


def test_what_ends_without_an_answer_says_nothing_of_the_server() -> None:
    one, clockwork = endpoint(Time(), concurrency=1)
    callers = Callers.of(one)
    callers.begin("a").failed(Unavailable(at=NOON, failures=1, draw=0.0))
    clockwork.turn(seconds=1)
    with pytest.raises(PermanentError), callers.begin("b"):
        raise PermanentError("no right to it")
    assert failures(one) == 1
    assert callers.ask("c")


def test_those_who_asked_side_by_side_count_as_one_failure() -> None:
    one, clockwork = endpoint(Time())
    callers = Callers.of(one)
    for name in "abcdefgh":
        callers.ask(name)
    for turn in callers.turns:
        turn.failed(Unavailable(at=NOON, failures=1, draw=0.0))
    assert failures(one) == 1
    clockwork.turn(seconds=1)
    callers.begin("a").failed(Unavailable(at=NOON + SECOND, failures=2, draw=0.0))
    assert failures(one) == 1
    clockwork.turn(seconds=1)
    callers.begin("b").failed(Unavailable(at=NOON + 2 * SECOND, failures=2, draw=0.0))
    assert (failures(one), one.until()) == (2, NOON + 4 * SECOND)


def test_who_is_called_and_does_not_come_is_passed_by() -> None:
    one, clockwork = endpoint(Time(), concurrency=1)
    callers = Callers.of(one)
    for name in "abc":
        callers.ask(name)
    callers.turns[0].answered()
    assert callers.called == ["b"]
    clockwork.turn(seconds=LAPSE.total_seconds())
    assert callers.called == ["b", "c"]


def test_who_is_kept_no_more_is_called_no_more() -> None:
    one, _ = endpoint(Time(), concurrency=1)
    callers = Callers.of(one)
    for name in "abc":
        callers.ask(name)
    one.leave("b")
    callers.turns[0].answered()
    assert callers.called == ["c"]


def test_no_more_than_the_budget_ask_by_hand_at_once_and_who_had_to_wait_goes_before_the_line() -> None:
    one, _ = endpoint(Time(), concurrency=2)
    callers = Callers.of(one)
    callers.begin("a").failed(Unavailable(at=NOON, failures=1, draw=0.0))
    assert not callers.ask("patient")

    def by_hand(name: str) -> Turn | None:
        return one.turn_by_hand(name, wake=lambda: callers.called.append(name))

    first, second = by_hand("b"), by_hand("c")
    assert first
    assert second
    assert [by_hand("d"), by_hand("e"), by_hand("f")] == [None] * 3
    one.leave("d")
    with first:
        pass
    assert callers.called == ["e"]
    third = by_hand("e")
    assert third
    third.answered()
    assert callers.called == ["e", "f"]


class Interrupted(Turned):
    """A clockwork in which somebody else may come first, in another thread, unless he is kept out."""

    def __init__(self, clock: Time) -> None:
        super().__init__(clock)
        self.meanwhile: Thread | None = None

    def at(self, key: str, when: datetime, action: Callable[[], None]) -> None:
        if meanwhile := self.meanwhile:
            self.meanwhile = None
            meanwhile.start()
            meanwhile.join(0.5)
        super().at(key, when, action)


def test_who_needs_it_soon_is_called_soon_whoever_came_at_the_same_moment() -> None:
    clockwork = Interrupted(Time())
    one = Endpoint(VAULT, Budget(), clockwork=clockwork, clock=clockwork.clock)
    callers = Callers.of(one)
    callers.begin("a").failed(Unavailable(at=NOON, failures=1, draw=0.0, retry_after=300 * SECOND))
    needy = Thread(target=callers.ask, args=("needy",), kwargs={"need": Need(every=5 * SECOND)})
    clockwork.meanwhile = needy
    assert not callers.ask("patient")
    needy.join()
    clockwork.turn(seconds=5)
    assert callers.called == ["needy"]


def test_a_server_that_nobody_keeps_is_forgotten(tmp_path: Path) -> None:
    clock, (one, same, other) = Time(), assets(tmp_path, {**sources(2), "local": Source()})
    endpoints = Endpoints(Budget(), clockwork=Turned(clock), clock=clock)
    vault = endpoints.of(one)
    assert endpoints.of(same) is vault
    assert endpoints.of(other) is not endpoints.of(other)
    assert endpoints.of(other).state() is None
    Callers.of(vault).begin("a").failed(Unavailable(at=NOON, failures=1, draw=0.0))
    del vault
    gc.collect()
    assert failures(endpoints.of(one)) == 0


def test_who_waits_for_a_server_without_a_name_is_called_whoever_else_waits_for_another_one(tmp_path: Path) -> None:
    clock, made = Time(), {name: Source() for name in ("one", "other")}
    slow = Budget(concurrency=1, per_second=1, burst=1)
    keepers, clockwork, _ = all_kept(assets(tmp_path, made, every=timedelta(0)), clock, slow)
    clockwork.turn(seconds=0)
    for source in made.values():
        source.put("r2", app_conf=b"two")
    for keeper in keepers:
        keeper.look_now()
    clockwork.turn(seconds=10)
    assert [keeper.state().revision for keeper in keepers] == ["r2", "r2"]


def test_other_limits_count_for_a_server_without_a_name_too(tmp_path: Path) -> None:
    clock, (local,) = Time(), assets(tmp_path, {"local": Source()})
    endpoints = Endpoints(Budget(concurrency=1), clockwork=Turned(clock), clock=clock)
    callers = Callers.of(endpoints.of(local))
    callers.begin("a")
    assert not callers.ask("b")
    endpoints.allow(Budget(concurrency=2))
    assert callers.called == ["b"]
    assert callers.ask("b")


def test_a_download_holds_no_turn(tmp_path: Path) -> None:
    clock, made = Time(), sources(1)
    (one,) = assets(tmp_path, made)
    seen: list[bool] = []

    class Large(Source):
        @contextmanager
        def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
            with super().fetch(held) as answer:
                yield answer
                seen.append(kept._turns._endpoint.turn("other", need=ANY_TIME, wake=lambda: None) is not None)

    keepers, clockwork, _ = all_kept([replace(one, provider=Large(endpoint=VAULT))], clock, Budget(concurrency=1))
    (kept,) = keepers
    clockwork.turn(seconds=0)
    assert seen == [True]


class Crowd:
    """Six who ask one server in any order, and what it has promised of them."""

    def __init__(self) -> None:
        self.clock = Time()
        self.endpoint, self.clockwork = endpoint(self.clock, concurrency=3, burst=2)
        self.callers = Callers.of(self.endpoint)
        self.asking: list[Turn] = []

    def step(self, what: str, number: int, seconds: int) -> None:
        if what == "wait":
            self.clockwork.turn(seconds=seconds)
        elif what == "ask":
            self.ask(str(number), Need(ends_at=NOON + seconds * SECOND))
        elif self.asking:
            self.end(self.asking.pop(0), what)

    def ask(self, name: str, need: Need = ANY_TIME) -> None:
        room = 3 if failures(self.endpoint) == 0 else 1
        if turn := self.callers.ask(name, need=need):
            self.asking.append(turn)
            assert len(self.asking) <= room

    def end(self, turn: Turn, how: str) -> None:
        with turn:
            if how == "answer":
                turn.answered()
            elif how == "fail":
                turn.failed(Unavailable(at=self.clock.now, failures=1, draw=0.5))

    def asked(self) -> set[str]:
        return {turn.name for turn in self.callers.turns}


STEPS = st.tuples(st.sampled_from(["ask", "answer", "fail", "nothing", "wait"]), st.integers(0, 5), st.integers(0, 20))


@given(st.lists(STEPS, max_size=60))
def test_never_two_ask_a_server_that_does_not_answer_and_in_the_end_everybody_has_asked(
    steps: list[tuple[str, int, int]],
) -> None:
    crowd = Crowd()
    for step in steps:
        crowd.step(*step)
    while crowd.asking:
        crowd.end(crowd.asking.pop(), "nothing")
    everybody = {str(number) for what, number, _ in steps if what == "ask"}
    crowd.clock.passes(minutes=6)
    for _ in range(20):
        crowd.clockwork.turn(seconds=1)
        for name in crowd.callers.called:
            crowd.ask(name)
            crowd.end(crowd.asking.pop(), "nothing") if crowd.asking else None
    assert crowd.asked() == everybody
