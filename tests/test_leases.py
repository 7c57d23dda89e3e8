"""What becomes of the leases of generations that were replaced."""

import errno
import logging
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from refresher import cycle, rollback, telling
from refresher.contract import Lease
from refresher.errors import PermanentError, RejectedError, TransientError
from refresher.leases import AGAIN
from refresher.ledger import Ledger, Told
from refresher.model import Asset, OnReject, Publish, Result, Wish
from refresher.place import opened
from refresher.store import Store
from refresher.volume import Directory
from tests.fakes.source import NOON, App, Judge, Logins, Source, Time, asset, read

GRACE = Publish().grace


def refreshed(web: Asset, clock: Time) -> Result:
    return cycle.refresh(web, wish=Wish.RENEW, clock=clock).outcome.result


def told(web: Asset, clock: Time) -> None:
    for named in web.notifiers:
        list(telling.tell(named, [web], clock=clock))


def replaced(web: Asset, clock: Time) -> None:
    """Publish two logins; the app hears of the second, and the grace after that goes by."""
    refreshed(web, clock)
    refreshed(web, clock)
    told(web, clock)
    clock.passes(minutes=5)


def ledger(web: Asset) -> Ledger:
    with opened(web) as place:
        return place.store.ledger()


def kept(web: Asset) -> list[int]:
    with opened(web) as place:
        return place.store.numbers()


@pytest.fixture
def logins() -> Logins:
    return Logins()


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def web(tmp_path: Path, logins: Logins, app: App) -> Asset:
    return asset(tmp_path, logins, app=app, publish=Publish(keep=5))


@pytest.fixture
def clock() -> Time:
    return Time()


def test_a_replaced_lease_is_ended_when_the_app_has_heard_and_the_grace_is_over(
    web: Asset, logins: Logins, clock: Time
) -> None:
    refreshed(web, clock)
    refreshed(web, clock)
    clock.passes(minutes=5)
    told(web, clock)
    assert cycle.release(web, clock=clock) == clock.now + GRACE
    assert logins.ended == []
    clock.passes(seconds=GRACE.total_seconds())
    assert cycle.release(web, clock=clock) is None
    assert logins.ended == ["login1"]
    assert ledger(web).retired == ()
    assert read(web.directory) == {"login": b"login2"}


def test_nothing_leads_back_to_a_login_whose_lease_was_ended(web: Asset, logins: Logins, clock: Time) -> None:
    replaced(web, clock)
    cycle.release(web, clock=clock)
    assert kept(web) == [2]
    with pytest.raises(PermanentError, match="generation 1 is not kept"):
        rollback.go_back(web, to=1, clock=clock)


def test_an_app_that_has_not_heard_keeps_its_old_login(web: Asset, logins: Logins, app: App, clock: Time) -> None:
    app.trouble = TransientError("it is down")
    refreshed(web, clock)
    refreshed(web, clock)
    told(web, clock)
    clock.passes(minutes=30)
    assert cycle.release(web, clock=clock) == clock.now + AGAIN
    assert logins.ended == []
    assert kept(web) == [1, 2]


def test_an_app_that_refused_the_new_login_keeps_its_old_one(web: Asset, logins: Logins, app: App, clock: Time) -> None:
    refreshed(web, clock)
    told(web, clock)
    app.refuses = frozenset({2})
    refreshed(web, clock)
    told(web, clock)
    clock.passes(minutes=30)
    cycle.release(web, clock=clock)
    assert logins.ended == []


def test_where_nobody_is_told_the_grace_counts_from_the_publishing(tmp_path: Path, logins: Logins, clock: Time) -> None:
    web = asset(tmp_path, logins)
    refreshed(web, clock)
    refreshed(web, clock)
    clock.passes(seconds=GRACE.total_seconds())
    cycle.release(web, clock=clock)
    assert logins.ended == ["login1"]


def test_a_rollback_takes_up_the_old_lease_again_and_lets_the_new_one_go(
    web: Asset, logins: Logins, clock: Time
) -> None:
    refreshed(web, clock)
    refreshed(web, clock)
    told(web, clock)
    holding = rollback.go_back(web, to=1, clock=clock).holding
    assert holding is not None
    assert holding.ledger.lease is not None
    assert holding.ledger.lease.id == "login1"
    told(web, clock)
    clock.passes(minutes=5)
    cycle.release(web, clock=clock)
    assert logins.ended == ["login2"]
    assert read(web.directory) == {"login": b"login1"}


def test_a_generation_whose_lease_was_renewed_since_can_be_put_back(web: Asset, logins: Logins, clock: Time) -> None:
    refreshed(web, clock)
    with opened(web) as place, place.store.locked():
        known = place.store.ledger()
        assert known.lease is not None
        longer = replace(known.lease, duration=timedelta(hours=9))
        place.store.remember(replace(known, lease=longer), fsync=False)
    refreshed(web, clock)
    clock.passes(hours=2)
    assert rollback.go_back(web, to=1, clock=clock).outcome.generation == 1


def test_a_refused_login_that_is_rolled_back_is_ended(tmp_path: Path, logins: Logins, app: App, clock: Time) -> None:
    web = asset(tmp_path, logins, app=app, on_reject=OnReject.ROLLBACK)
    refreshed(web, clock)
    told(web, clock)
    app.refuses = frozenset({2})
    refreshed(web, clock)
    told(web, clock)
    told(web, clock)
    assert app.heard[-1].cause == "rolled-back"
    clock.passes(minutes=5)
    cycle.release(web, clock=clock)
    assert logins.ended == ["login2"]


@pytest.mark.parametrize("trouble", [RejectedError("no"), PermanentError("can't check")])
def test_a_login_that_could_not_be_published_is_ended(
    tmp_path: Path, logins: Logins, clock: Time, trouble: Exception
) -> None:
    judge = Judge()
    web = asset(tmp_path, logins, judge=judge)
    refreshed(web, clock)
    judge.trouble = trouble
    assert refreshed(web, clock) is not Result.PUBLISHED
    clock.passes(minutes=5)
    cycle.release(web, clock=clock)
    assert logins.ended == ["login2"]
    assert read(web.directory) == {"login": b"login1"}


def test_a_login_that_there_is_no_room_to_stage_is_ended(
    web: Asset, logins: Logins, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed(web, clock)
    made = Directory.made

    def full(self: Directory, name: str) -> Directory:
        if name.startswith("incoming-"):
            raise OSError(errno.ENOSPC, "full")
        return made(self, name)

    monkeypatch.setattr(Directory, "made", full)
    assert refreshed(web, clock) is Result.FAILED
    cycle.release(web, clock=clock)
    assert logins.ended == ["login2"]


def test_a_login_that_comes_while_nobody_else_may_write_is_ended_at_once(
    web: Asset, logins: Logins, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed(web, clock)
    monkeypatch.setitem(Store.locked.__wrapped__.__kwdefaults__, "within", 0.0)  # type: ignore[attr-defined]
    with opened(web) as place, ExitStack() as until_tried:

        def alone() -> None:
            until_tried.enter_context(place.store.locked())

        outcome = cycle.refresh(web, wish=Wish.RENEW, clock=clock, alone=alone).outcome
    assert "another refresher" in str(outcome.error)
    assert logins.ended == ["login2"]
    assert cycle.release(web, clock=clock) is None
    assert logins.ended == ["login2"]


def test_a_source_that_does_not_answer_is_asked_again(web: Asset, logins: Logins, clock: Time) -> None:
    replaced(web, clock)
    logins.revoking = TransientError("no answer")
    assert cycle.release(web, clock=clock) == clock.now + AGAIN
    logins.revoking = None
    assert cycle.release(web, clock=clock) is None
    assert logins.ended == ["login1"]


def test_a_lease_that_ended_by_itself_is_not_asked_about(web: Asset, logins: Logins, clock: Time) -> None:
    refreshed(web, clock)
    refreshed(web, clock)
    told(web, clock)
    clock.passes(hours=2)
    logins.revoking = TransientError("no answer")
    assert cycle.release(web, clock=clock) is None
    assert ledger(web).retired == ()


@pytest.mark.parametrize("trouble", [PermanentError("no right"), ZeroDivisionError("hunter2")])
def test_a_source_that_says_no_is_asked_once(
    web: Asset, logins: Logins, clock: Time, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    replaced(web, clock)
    logins.revoking = trouble
    with caplog.at_level(logging.WARNING):
        assert cycle.release(web, clock=clock) is None
    assert ledger(web).retired == ()
    assert "web: " in caplog.text
    assert "hunter2" not in caplog.text


def test_a_lease_that_goes_on_under_new_content_is_not_ended(tmp_path: Path, clock: Time) -> None:
    lease = Lease(id="same", granted_at=NOON, duration=timedelta(hours=1), renewable=True)
    source = Source(lease=lease)
    web = asset(tmp_path, source)
    refreshed(web, clock)
    source.put("r2", app_conf=b"two")
    assert refreshed(web, clock) is Result.PUBLISHED
    assert ledger(web).retired == ()


class Killed(BaseException):
    """The end of the process, as far as the code that runs can tell."""


def killed_after_the_flip(web: Asset, clock: Time, shows: bytes) -> None:
    """A refresh that is killed when readers see this login, before anything else."""

    def dying() -> datetime:
        if read(web.directory) == {"login": shows}:
            raise Killed
        return clock()

    with pytest.raises(Killed):
        cycle.refresh(web, wish=Wish.RENEW, clock=dying)


def test_a_kill_right_after_the_flip_takes_up_the_new_lease_and_lets_the_old_one_go(
    web: Asset, logins: Logins, clock: Time
) -> None:
    refreshed(web, clock)
    killed_after_the_flip(web, clock, shows=b"login2")
    held = cycle.begin(web)
    assert held.current is not None
    assert held.current.number == 2
    assert held.ledger.lease is not None
    assert held.ledger.lease.id == "login2"
    told(web, clock)
    clock.passes(minutes=5)
    cycle.release(web, clock=clock)
    assert logins.ended == ["login1"]
    assert ledger(web).retired == ()
    assert refreshed(web, clock) is Result.PUBLISHED
    assert [(each.generation, each.lease.id) for each in ledger(web).retired] == [(2, "login2")]


def test_a_kill_in_the_middle_of_a_rollback_leaves_each_generation_its_lease(web: Asset, clock: Time) -> None:
    refreshed(web, clock)
    refreshed(web, clock)
    with opened(web) as place:
        before = place.store.ledger()
    rollback.go_back(web, to=1, clock=clock)
    with opened(web) as place, place.store.locked():
        after = place.store.ledger()
        shown = place.store.generation(2)
        assert shown is not None
        place.layout.show(shown)  # as it was before the flip
    held = cycle.begin(web)
    assert after.lease != before.lease
    assert held.ledger.lease == before.lease
    assert held.ledger.retired == before.retired


def test_putting_back_what_is_visible_keeps_its_lease(web: Asset, clock: Time) -> None:
    refreshed(web, clock)
    refreshed(web, clock)
    before = ledger(web)
    rollback.go_back(web, to=2, clock=clock)
    assert ledger(web).lease == before.lease
    assert ledger(web).retired == before.retired


def test_logins_that_are_refused_before_the_first_is_published_are_ended(
    tmp_path: Path, logins: Logins, clock: Time
) -> None:
    web = asset(tmp_path, logins, judge=Judge(reason="no"))
    for _ in range(3):
        assert refreshed(web, clock) is Result.REJECTED
    assert cycle.release(web, clock=clock) is None
    assert logins.ended == ["login1", "login2", "login3"]
    assert ledger(web).retired == ()


def test_logins_that_have_no_room_in_the_directory_are_ended(web: Asset, logins: Logins, clock: Time) -> None:
    web.directory.mkdir()
    (web.directory / "login").write_text("somebody else's")
    for _ in range(3):
        assert refreshed(web, clock) is Result.FAILED
    cycle.release(web, clock=clock)
    assert logins.ended == ["login1", "login2", "login3"]


def test_leases_that_ran_out_are_forgotten_although_the_app_never_hears(
    web: Asset, logins: Logins, app: App, clock: Time
) -> None:
    app.trouble = TransientError("it is down")
    logins.clock = clock
    for _ in range(5):
        refreshed(web, clock)
        told(web, clock)
        clock.passes(minutes=25)
        cycle.release(web, clock=clock)
    assert [each.lease.id for each in ledger(web).retired] == ["login4"]
    assert kept(web) == [1, 2, 3, 4, 5]
    assert logins.ended == []


def test_a_telling_at_the_end_of_time_ends_no_lease_early(web: Asset, logins: Logins, clock: Time) -> None:
    refreshed(web, clock)
    refreshed(web, clock)
    with opened(web) as place, place.store.locked():
        at_last = Told(generation=2, at=datetime.max.replace(tzinfo=UTC))
        place.store.remember(ledger(web).with_told(web.notifiers[0].key, at_last), fsync=False)
    cycle.release(web, clock=clock)
    assert logins.ended == []


def test_kills_after_two_flips_leave_each_generation_its_lease(web: Asset, clock: Time) -> None:
    refreshed(web, clock)
    killed_after_the_flip(web, clock, shows=b"login2")
    cycle.begin(web)
    rollback.unpin(web)  # something writes the ledger meanwhile
    killed_after_the_flip(web, clock, shows=b"login3")
    held = cycle.begin(web)
    assert held.ledger.lease is not None
    assert held.ledger.lease.id == "login3"
    assert [(each.generation, each.lease.id) for each in held.ledger.retired] == [(1, "login1"), (2, "login2")]


def test_nothing_leads_to_a_login_that_was_ended_because_nobody_saw_it(web: Asset, logins: Logins, clock: Time) -> None:
    refreshed(web, clock)
    refreshed(web, clock)
    with opened(web) as place, place.store.locked():
        first = place.store.generation(1)
        assert first is not None
        never_shown = replace(place.store.ledger().showing(first), last_generation=1)
        place.layout.show(first)
        place.store.remember(never_shown, fsync=False)
    cycle.release(web, clock=clock)
    assert logins.ended == ["login2"]
    assert kept(web) == [1]


def test_a_ledger_full_of_leases_has_the_source_asked_for_a_hundred_at_a_time(
    tmp_path: Path, logins: Logins, clock: Time
) -> None:
    web = asset(tmp_path, logins)
    refreshed(web, clock)
    with opened(web) as place, place.store.locked():
        known = place.store.ledger()
        for number in range(250):
            lease = Lease(id=f"made up {number}", granted_at=clock.now, duration=timedelta(hours=1), renewable=False)
            known = known.retiring(lease, generation=0)
        place.store.remember(known, fsync=False)
    for asked in (100, 200, 250):
        again_at = cycle.release(web, clock=clock)
        assert len(logins.ended) == asked
        assert again_at == (clock.now + AGAIN if asked < 250 else None)
