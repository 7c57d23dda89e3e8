"""One asset kept fresh by a clockwork that the test turns."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from refresher.contract import Finding
from refresher.due import Due
from refresher.errors import TransientError
from refresher.keeper import Keeper
from refresher.model import Asset, Outcome, Result
from refresher.notify import Telling
from tests.fakes.source import NOON, App, Judge, Source, Time, asset, read


class Turned:
    """A clockwork that runs what is due when the test says so."""

    def __init__(self, clock: Time) -> None:
        self.clock = clock
        self.armed: dict[str, tuple[datetime, Callable[[], None]]] = {}

    def at(self, key: str, when: datetime, action: Callable[[], None]) -> None:
        self.armed[key] = (when, action)

    def turn(self, **amount: float) -> None:
        """Let time pass, and run everything that falls due on the way, in order."""
        end = self.clock.now + timedelta(**amount)
        while (due := [(when, key) for key, (when, _) in self.armed.items() if when <= end]) != []:
            when, key = min(due)
            self.clock.now = max(when, self.clock.now)
            self.armed.pop(key)[1]()
        self.clock.now = end


class Noted:
    """A reporter that notes."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.tellings: list[Telling] = []

    def refreshed(self, outcome: Outcome, due: Due | None) -> None:
        self.outcomes.append(outcome)

    def told(self, asset: Asset, telling: Telling) -> None:
        self.tellings.append(telling)


def kept(web: Asset, clock: Time) -> tuple[Keeper, Turned, Noted]:
    clockwork, noted = Turned(clock), Noted()
    keeper = Keeper(web, clockwork=clockwork, clock=clock, seed="pod-1", reporter=noted)
    keeper.start()
    return keeper, clockwork, noted


def test_the_first_refresh_comes_at_once_and_the_next_after_the_interval(tmp_path: Path) -> None:
    source, clock = Source(), Time()
    _, clockwork, noted = kept(asset(tmp_path, source), clock)
    clockwork.turn(seconds=0)
    assert [outcome.result for outcome in noted.outcomes] == [Result.PUBLISHED]
    clockwork.turn(minutes=6)
    assert [outcome.result for outcome in noted.outcomes] == [Result.PUBLISHED, Result.UNCHANGED]


def test_a_restart_on_valid_files_asks_within_the_interval_and_not_at_once(tmp_path: Path) -> None:
    source, clock = Source(), Time()
    _, clockwork, _ = kept(asset(tmp_path, source), clock)
    clockwork.turn(seconds=1)
    _, again, noted = kept(asset(tmp_path, source), clock)
    again.turn(seconds=0)
    assert noted.outcomes == []
    again.turn(minutes=5)
    assert [outcome.result for outcome in noted.outcomes] == [Result.UNCHANGED]


def test_what_is_minted_is_minted_at_its_renewal_and_never_on_the_interval(tmp_path: Path) -> None:
    clock = Time()
    source, judge = Source(minted=True), Judge(finding=Finding(valid_from=NOON, expires_at=NOON + timedelta(hours=24)))
    _, clockwork, noted = kept(asset(tmp_path, source, judge=judge), clock)
    clockwork.turn(hours=12)
    assert len(noted.outcomes) == 1
    source.put("r2", app_conf=b"two")
    clockwork.turn(hours=5)
    assert [outcome.generation for outcome in noted.outcomes] == [1, 2]


def test_a_source_in_trouble_is_asked_again_with_a_growing_pause(tmp_path: Path) -> None:
    clock = Time()
    _, clockwork, noted = kept(asset(tmp_path, Source(trouble=TransientError("away"))), clock)
    clockwork.turn(minutes=1)
    pauses = [
        later.started_at - sooner.started_at for sooner, later in zip(noted.outcomes, noted.outcomes[1:], strict=False)
    ]
    assert 4 <= len(pauses) <= 8
    assert pauses == sorted(pauses)


def test_who_asks_while_another_waits_shares_the_refresh(tmp_path: Path) -> None:
    clock = Time()
    keeper, clockwork, noted = kept(asset(tmp_path, Source(minted=True)), clock)
    first, second = keeper.request(), keeper.request()
    assert first is second
    clockwork.turn(seconds=0)
    assert first.visible.result(0).result is Result.PUBLISHED
    assert first.told.result(0)
    assert len(noted.outcomes) == 1
    assert keeper.request() is not first


def test_who_asks_during_a_scheduled_refresh_gets_one_that_begins_later(tmp_path: Path) -> None:
    clock = Time()
    source = Source()
    keeper, clockwork, noted = kept(asset(tmp_path, source, app=(app := App())), clock)
    asked = []
    source_fetch = source.fetch

    class Asking:
        def fetch(self, held: object) -> object:
            if not asked:
                asked.append(keeper.request())
            return source_fetch(held)  # type: ignore[arg-type]

    object.__setattr__(keeper.asset, "provider", Asking())
    clockwork.turn(seconds=0)
    assert len(noted.outcomes) == 2
    assert asked[0].visible.result(0).result is Result.UNCHANGED
    assert len(app.heard) == 1


def test_the_app_that_was_away_is_told_again_without_another_fetch(tmp_path: Path) -> None:
    clock, source, app = Time(), Source(), App(trouble=TransientError("connection refused"))
    keeper, clockwork, noted = kept(asset(tmp_path, source, app=app), clock)
    clockwork.turn(seconds=30)
    fetches = len(source.shown)
    assert keeper.state().notified_generation is None
    app.trouble = None
    clockwork.turn(seconds=60)
    assert [change.generation for change in app.heard] == [1]
    assert (len(source.shown), keeper.state().notified_generation) == (fetches, 1)
    assert {telling.result for telling in noted.tellings} == {"failed", "told"}


def test_an_app_that_was_not_told_before_a_restart_is_told_after_it(tmp_path: Path) -> None:
    clock, source, app = Time(), Source(), App(trouble=TransientError("connection refused"))
    _, clockwork, _ = kept(asset(tmp_path, source, app=app), clock)
    clockwork.turn(seconds=0)
    app.trouble = None
    _, again, _ = kept(asset(tmp_path, source, app=app), clock)
    again.turn(seconds=0)
    assert [change.generation for change in app.heard] == [1]
    assert len(source.shown) == 1


def test_retired_generations_are_closed_after_the_grace_and_pruned_beyond_keep(tmp_path: Path) -> None:
    clock, source = Time(datetime.now(NOON.tzinfo)), Source()
    keeper, clockwork, _ = kept(asset(tmp_path, source), clock)
    for number in range(1, 5):
        source.put(f"r{number}", app_conf=b"%d" % number)
        keeper.look_now()
        clockwork.turn(seconds=5)
    store = tmp_path / "web/..refresher"
    assert sorted(path.name for path in store.iterdir() if path.name.isdigit()) == [f"{n:08d}" for n in (1, 2, 3, 4)]
    clockwork.turn(seconds=90)
    assert sorted(path.name for path in store.iterdir() if path.name.isdigit()) == ["00000003", "00000004"]
    assert (store / "00000003").stat().st_mode & 0o777 == 0o700
    assert read(tmp_path / "web") == {"app.conf": b"4"}
