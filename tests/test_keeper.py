"""One asset kept fresh by a clockwork that the test turns."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from refresher.contract import Change, Finding, Lease
from refresher.cycle import refresh
from refresher.due import Due
from refresher.errors import TransientError
from refresher.keeper import Keeper
from refresher.ledger import Told
from refresher.model import Asset, NamedNotifier, OnReject, Outcome, Publish, Refresh, Result, Wish
from refresher.notify import Telling
from refresher.place import opened
from refresher.record import Record
from refresher.teller import Tellers
from tests.fakes.source import NOON, App, Certificates, Judge, Logins, Source, Time, asset, read


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

    def told(self, telling: Telling) -> None:
        self.tellings.append(telling)


def all_kept(assets: list[Asset], clock: Time) -> tuple[list[Keeper], Turned, Noted]:
    clockwork, noted = Turned(clock), Noted()
    records = [Record(one, started_at=clock()) for one in assets]
    parts: dict[str, Any] = {"clockwork": clockwork, "clock": clock, "seed": "pod-1", "reporter": noted}
    keepers: dict[str, Keeper] = {}
    tellers = Tellers(records, rolled_back=lambda one: keepers[one.name].was_rolled_back(), **parts)
    keepers |= {record.asset.name: Keeper(record, tellers=tellers, **parts) for record in records}
    for keeper in keepers.values():
        keeper.start()
    return list(keepers.values()), clockwork, noted


def kept(web: Asset, clock: Time) -> tuple[Keeper, Turned, Noted]:
    (keeper,), clockwork, noted = all_kept([web], clock)
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


def test_the_moment_of_renewal_stays_while_nothing_comes_of_it(tmp_path: Path) -> None:
    clock = Time()
    source, judge = Source(minted=True), Judge(finding=Finding(valid_from=NOON, expires_at=NOON + timedelta(hours=24)))
    keeper, clockwork, _ = kept(asset(tmp_path, source, judge=judge), clock)
    clockwork.turn(hours=1)
    source.trouble = TransientError("away")
    wanted = keeper.state().renewal_at
    assert wanted is not None
    assert NOON + timedelta(hours=12) < wanted < NOON + timedelta(hours=17)
    clockwork.turn(hours=20)
    state = keeper.state()
    assert (state.renewal_at, state.generation) == (wanted, 1)
    assert state.consecutive_failures > 0


def test_a_source_in_trouble_is_asked_again_with_a_growing_pause(tmp_path: Path) -> None:
    clock = Time()
    _, clockwork, noted = kept(asset(tmp_path, Source(trouble=TransientError("away"))), clock)
    clockwork.turn(minutes=1)
    pauses = [
        later.started_at - sooner.started_at for sooner, later in zip(noted.outcomes, noted.outcomes[1:], strict=False)
    ]
    assert 4 <= len(pauses) <= 8
    assert pauses == sorted(pauses)


def test_no_look_begins_while_a_renewal_is_under_way(tmp_path: Path) -> None:
    class Slow(Certificates):
        def fetch(self, held: Any) -> Any:
            if self.made:
                look = clockwork.armed.get("look web")
                assert look
                look[1]()
            return super().fetch(held)

    source, clock = Slow(), Time()
    keeper, clockwork, noted = kept(asset(tmp_path, source), clock)
    clockwork.turn(seconds=0)
    keeper.request()
    clockwork.turn(seconds=1)
    assert source.made == 2
    assert [outcome.generation for outcome in noted.outcomes] == [1, 2]


def test_a_look_that_found_a_refresh_under_way_is_not_the_last_one(tmp_path: Path) -> None:
    source, clock = Certificates(), Time()
    _, clockwork, noted = kept(asset(tmp_path, source), clock)

    class Overtaken(list[Outcome]):
        """The first outcome is noted so late that the next look comes before that."""

        def append(self, outcome: Outcome) -> None:
            super().append(outcome)
            if len(self) == 1:
                clockwork.armed.pop("look web")[1]()

    noted.outcomes = Overtaken()
    clockwork.turn(minutes=6)
    assert [outcome.result for outcome in noted.outcomes] == [Result.PUBLISHED, Result.UNCHANGED]


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


def test_assets_with_one_destination_are_told_of_together_after_a_moment_of_quiet(tmp_path: Path) -> None:
    clock, app, sources = Time(), App(), [Source(), Source(), Source()]
    assets = [
        replace(asset(tmp_path, one, app=app), name=f"a{n}", directory=tmp_path / f"a{n}")
        for n, one in enumerate(sources)
    ]
    keepers, clockwork, _ = all_kept(assets, clock)
    clockwork.turn(seconds=0.5)
    assert app.heard == []
    clockwork.turn(seconds=1)
    assert [sorted((change.asset, *change.also)) for change in app.heard] == [["a0", "a1", "a2"]]
    sources[1].put("r2", app_conf=b"two")
    request = keepers[1].request()
    clockwork.turn(seconds=2)
    assert [(change.asset, change.generation, change.also) for change in app.heard[1:]] == [("a1", 2, ())]
    assert request.told.result(0)


def test_changes_that_keep_coming_put_a_shared_telling_off_for_ten_settles_at_most(tmp_path: Path) -> None:
    clock, app, sources = Time(), App(), [Source(), Source()]
    assets = [
        replace(asset(tmp_path, one, app=app), name=f"a{n}", directory=tmp_path / f"a{n}")
        for n, one in enumerate(sources)
    ]
    keepers, clockwork, _ = all_kept(assets, clock)
    clockwork.turn(seconds=0)
    for number in range(24):
        sources[number % 2].put(f"n{number}", app_conf=b"%d" % number)
        keepers[number % 2].look_now()
        clockwork.turn(seconds=0.5)
    assert len(app.heard) == 1
    clockwork.turn(seconds=2)
    assert len(app.heard) == 2
    assert [keeper.state().notified_generation for keeper in keepers] == [
        keeper.state().generation for keeper in keepers
    ]


def test_a_destination_that_fails_holds_up_no_other_of_the_same_asset(tmp_path: Path) -> None:
    clock, down, up = Time(), App(trouble=TransientError("connection refused")), App()
    web = asset(tmp_path, Source(), app=down)
    web = replace(web, notifiers=(*web.notifiers, NamedNotifier(name="up", key="up:1", notifier=up)))
    _, clockwork, noted = kept(web, clock)
    clockwork.turn(minutes=1)
    assert len(up.heard) == 1
    assert [telling.result for telling in noted.tellings].count("failed") > 3


def test_a_rollback_that_the_app_wants_is_told_to_every_destination(tmp_path: Path) -> None:
    clock, source, app, other = Time(), Source(), App(), App()
    web = asset(tmp_path, source, app=app, on_reject=OnReject.ROLLBACK)
    web = replace(web, notifiers=(NamedNotifier(name="other", key="other:1", notifier=other), *web.notifiers))
    keeper, clockwork, noted = kept(web, clock)
    clockwork.turn(seconds=0)
    app.refuses = frozenset({2})
    source.put("r2", app_conf=b"two")
    keeper.look_now()
    clockwork.turn(seconds=0)
    clockwork.turn(seconds=5)
    assert [(change.generation, change.cause) for change in other.heard[-1:]] == [(1, "rolled-back")]
    assert [(change.generation, change.cause) for change in app.heard[-1:]] == [(1, "rolled-back")]
    assert Result.ROLLED_BACK in [outcome.result for outcome in keeper.state().history]
    assert Result.ROLLED_BACK in [outcome.result for outcome in noted.outcomes]


def test_a_generation_put_back_by_hand_is_pinned_and_told_until_it_is_unpinned(tmp_path: Path) -> None:
    clock, source, app = Time(), Source(), App()
    keeper, clockwork, _ = kept(asset(tmp_path, source, app=app), clock)
    clockwork.turn(seconds=0)
    source.put("r2", app_conf=b"two")
    keeper.look_now()
    clockwork.turn(seconds=0)
    back = keeper.go_back(to=None)
    clockwork.turn(seconds=0)
    assert back.result(0) is None
    assert (keeper.state().generation, keeper.state().pinned) == (1, True)
    clockwork.turn(hours=1)
    assert read(tmp_path / "web") == {"app.conf": b"one"}
    keeper.unpin()
    clockwork.turn(seconds=0)
    assert (keeper.state().generation, keeper.state().pinned) == (3, False)
    assert [(change.generation, change.cause) for change in app.heard] == [
        (1, "published"),
        (2, "published"),
        (1, "rolled-back"),
        (3, "published"),
    ]


def test_who_asks_for_a_generation_that_is_not_kept_gets_the_reason(tmp_path: Path) -> None:
    clock = Time()
    keeper, clockwork, _ = kept(asset(tmp_path, Source()), clock)
    clockwork.turn(seconds=0)
    back = keeper.go_back(to=7)
    clockwork.turn(seconds=0)
    assert "7 is not kept" in str(back.exception(0))
    assert not keeper.state().pinned


def test_a_source_that_is_polled_hammers_no_app_that_is_down(tmp_path: Path) -> None:
    clock, app = Time(), App(trouble=TransientError("connection refused"))
    web = asset(tmp_path, Source(), app=app, refresh=Refresh(every=timedelta(seconds=1)))
    _, clockwork, noted = kept(web, clock)
    clockwork.turn(minutes=1)
    assert len(noted.outcomes) > 50
    assert len(noted.tellings) < 10


@dataclass
class Slow(App):
    """An app that is looked at, and its asset's source with it, while it is told."""

    meanwhile: Callable[[], object] = lambda: None

    def notify(self, change: Change) -> None:
        self.meanwhile()
        super().notify(change)


def test_a_source_that_is_polled_while_an_app_is_told_shortens_no_pause_before_it_is_told_again(tmp_path: Path) -> None:
    clock, app = Time(), Slow(trouble=TransientError("not confirmed within 5 s"))
    _, clockwork, noted = kept(asset(tmp_path, Source(), app=app), clock)
    clockwork.turn(seconds=0)
    app.meanwhile = lambda: clockwork.armed["refresh web"][1]()
    clockwork.turn(minutes=1)
    assert noted.outcomes[-1].result is Result.UNCHANGED
    assert 5 < len(noted.tellings) < 10


def test_what_an_app_has_put_back_is_no_drift_and_is_renewed_in_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, app, judge = Time(), App(refuses=frozenset({2})), Judge()
    source = Source(minted=True)
    web = asset(tmp_path, source, judge=judge, app=app, on_reject=OnReject.ROLLBACK)
    judge.finding = Finding(valid_from=NOON, expires_at=NOON + timedelta(hours=1))
    keeper, clockwork, _noted = kept(web, clock)
    clockwork.turn(seconds=0)
    judge.finding = Finding(valid_from=NOON, expires_at=NOON + timedelta(hours=12))
    source.put("r2", app_conf=b"two")
    keeper.request()
    clockwork.turn(seconds=0)
    assert (keeper.state().generation, keeper.state().consecutive_failures) == (1, 1)
    keeper.look_over()
    assert "changed by somebody" not in caplog.text
    source.put("r3", app_conf=b"three")
    clockwork.turn(minutes=59)
    assert keeper.state().generation == 3


def test_content_that_somebody_changes_is_noticed_however_often_the_source_is_polled(tmp_path: Path) -> None:
    keeper, clockwork, _ = kept(asset(tmp_path, Source(), refresh=Refresh(every=timedelta(seconds=1))), Time())
    clockwork.turn(seconds=2)
    (tmp_path / "web/app.conf").write_bytes(b"evil")
    clockwork.turn(seconds=5)
    keeper.look_over()
    clockwork.turn(seconds=5)
    assert read(tmp_path / "web") == {"app.conf": b"one"}


def test_one_asset_whose_place_is_broken_silences_no_other_at_a_shared_destination(tmp_path: Path) -> None:
    clock, app = Time(), App()
    assets = [replace(asset(tmp_path, Source(), app=app), name=f"a{n}", directory=tmp_path / f"a{n}") for n in range(2)]
    (tmp_path / "a1").write_text("a file where a directory has to be")
    _, clockwork, _ = all_kept(assets, clock)
    clockwork.turn(seconds=5)
    assert [change.asset for change in app.heard] == ["a0"]


def test_a_volume_that_cannot_be_used_at_the_start_is_tried_again(tmp_path: Path) -> None:
    clock, app, source = Time(), App(), Source()
    refresh(asset(tmp_path, source), wish=Wish.RENEW, clock=clock)
    (tmp_path / "web").rename(tmp_path / "elsewhere")
    (tmp_path / "web").write_text("in the way")
    _keeper, clockwork, _ = kept(asset(tmp_path, source, app=app, refresh=Refresh(every=timedelta(0))), clock)
    clockwork.turn(seconds=0)
    (tmp_path / "web").unlink()
    (tmp_path / "elsewhere").rename(tmp_path / "web")
    clockwork.turn(minutes=1)
    assert [change.generation for change in app.heard] == [1]


def test_a_telling_that_was_missed_is_made_up_for_at_the_next_look(tmp_path: Path) -> None:
    clock, source, app = Time(), Source(), App()
    web = asset(tmp_path, source, app=app)
    keeper, clockwork, _ = kept(web, clock)
    clockwork.turn(seconds=0)
    source.put("r2", app_conf=b"two")
    refresh(web, wish=Wish.RENEW, clock=clock)
    keeper.look_now()
    clockwork.turn(seconds=1)
    assert [change.generation for change in app.heard] == [1, 2]


def test_the_last_good_generation_is_kept_however_many_are_refused_after_it(tmp_path: Path) -> None:
    clock, source = Time(datetime.now(NOON.tzinfo)), Source()
    app = App(refuses=frozenset(range(2, 9)))
    web = asset(
        tmp_path, source, app=app, on_reject=OnReject.ROLLBACK, publish=Publish(keep=2, grace=timedelta(seconds=1))
    )
    keeper, clockwork, _ = kept(web, clock)
    clockwork.turn(seconds=0)
    for number in range(2, 6):
        source.put(f"n{number}", app_conf=b"%d" % number)
        keeper.look_now()
        clockwork.turn(seconds=5)
        assert read(tmp_path / "web") == {"app.conf": b"one"}
    assert keeper.state().notified_generation == 1


def test_a_refusal_that_was_heard_before_a_kill_is_obeyed_after_the_restart(tmp_path: Path) -> None:
    clock, source, app = Time(), Source(), App()
    web = asset(tmp_path, source, app=app, on_reject=OnReject.ROLLBACK)
    _, clockwork, _ = kept(web, clock)
    clockwork.turn(seconds=0)
    source.put("r2", app_conf=b"two")
    refresh(web, wish=Wish.RENEW, clock=clock)
    with opened(web) as place:
        told = Told(generation=2, at=clock(), refused="422 no such directive")
        place.store.remember(place.store.ledger().with_told("app:1", told), fsync=False)
    keeper, again, _ = kept(web, clock)
    again.turn(seconds=0)
    assert read(tmp_path / "web") == {"app.conf": b"one"}
    assert [(change.generation, change.cause) for change in app.heard[1:]] == [(1, "rolled-back")]
    assert keeper.state().generation == 1


def test_what_is_broken_beyond_repair_is_not_ready(tmp_path: Path) -> None:
    keeper, clockwork, _ = kept(asset(tmp_path, Source()), Time())
    clockwork.turn(seconds=0)
    (tmp_path / "web/app.conf").unlink()
    (tmp_path / "web/app.conf").mkdir()
    keeper.look_over()
    assert not keeper.state().ready


def test_a_start_knows_of_a_recent_look_where_max_stale_counts(tmp_path: Path) -> None:
    clock, source = Time(), Source()
    web = asset(tmp_path, source, max_stale=timedelta(minutes=10), refresh=Refresh(every=timedelta(minutes=1)))
    _, clockwork, _ = kept(web, clock)
    clockwork.turn(hours=1)
    source.trouble = TransientError("away")
    keeper, again, _ = kept(web, clock)
    again.turn(minutes=5)
    assert keeper.state().ready
    again.turn(minutes=10)
    assert not keeper.state().ready


def test_a_watched_change_makes_nothing_anew_that_is_not_due(tmp_path: Path) -> None:
    source, clock = Source(minted=True), Time()
    keeper, clockwork, noted = kept(asset(tmp_path, source), clock)
    clockwork.turn(seconds=1)
    keeper.look_now()
    clockwork.turn(seconds=1)
    assert [outcome.result for outcome in noted.outcomes] == [Result.PUBLISHED, Result.UNCHANGED]
    assert len(source.shown) == 1


def test_a_revoked_certificate_is_replaced_at_the_next_look(tmp_path: Path) -> None:
    source, clock = Certificates(), Time()
    _, clockwork, _ = kept(asset(tmp_path, source), clock)
    clockwork.turn(minutes=20)
    assert source.made == 1
    source.revoked = True
    clockwork.turn(minutes=6)
    assert source.made >= 2


def test_a_replaced_login_is_ended_after_the_app_has_heard_without_anybody_asking(tmp_path: Path) -> None:
    clock, app = Time(), App()
    source = Logins(clock=clock)
    _, clockwork, _ = kept(asset(tmp_path, source, app=app), clock)
    clockwork.turn(minutes=50)
    assert [change.generation for change in app.heard] == [1, 2]
    assert source.ended == ["login1"]


def test_a_login_that_is_rolled_back_by_hand_to_what_had_no_lease_is_ended(tmp_path: Path) -> None:
    clock, source, logins = Time(), Source(), Logins()
    refresh(asset(tmp_path, source), wish=Wish.LOOK, clock=clock)
    keeper, clockwork, _ = kept(replace(asset(tmp_path, logins), source="sha256:logins"), clock)
    clockwork.turn(seconds=1)
    assert logins.ended == []
    keeper.go_back(to=1)
    clockwork.turn(minutes=5)
    assert logins.ended == ["login1"]


def test_looks_do_not_have_a_source_asked_more_often_to_end_a_lease(tmp_path: Path) -> None:
    class Leased(Certificates):
        asked = 0

        def revoke(self, lease: Lease) -> None:
            self.asked += 1
            raise TransientError("not now")

    clock = Time()
    source = Leased(lease=Lease(id="first", granted_at=NOON, duration=timedelta(days=1), renewable=False))
    web = asset(tmp_path, source, refresh=Refresh(every=timedelta(seconds=1)), publish=Publish(grace=timedelta(0)))
    keeper, clockwork, _ = kept(web, clock)
    clockwork.turn(seconds=1)
    source.lease = Lease(id="second", granted_at=NOON, duration=timedelta(days=1), renewable=False)
    keeper.request()
    clockwork.turn(minutes=5)
    assert len(source.shown) > 200
    assert 9 <= source.asked <= 12


def test_a_login_that_was_replaced_before_a_restart_is_ended_after_it(tmp_path: Path) -> None:
    clock, app = Time(), App()
    source = Logins(clock=clock)
    web = asset(tmp_path, source, app=app)
    for _ in range(2):
        refresh(web, wish=Wish.RENEW, clock=clock)
    _, clockwork, _ = kept(web, clock)
    clockwork.turn(minutes=2)
    assert source.ended == ["login1"]


def test_a_pinned_login_is_replaced_before_its_lease_ends(tmp_path: Path) -> None:
    clock, app = Time(), App()
    source = Logins(clock=clock)
    keeper, clockwork, _ = kept(asset(tmp_path, source, app=app, publish=Publish(grace=timedelta(hours=9))), clock)
    clockwork.turn(seconds=1)
    keeper.request()
    clockwork.turn(seconds=1)
    keeper.go_back(to=1)
    clockwork.turn(minutes=55)
    assert read(tmp_path / "web") == {"login": b"login1"}
    clockwork.turn(minutes=4)
    assert read(tmp_path / "web") == {"login": b"login3"}
