"""How an asset stands, as status shows it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from refresher.contract import Finding, Lease
from refresher.cycle import begin, refresh
from refresher.errors import PermanentError, TransientError
from refresher.model import Result, Wish
from refresher.record import Record
from refresher.telling import tell
from tests.fakes.source import NOON, App, Judge, Source, Time, asset


def test_an_asset_without_a_generation_is_not_ready(tmp_path: Path) -> None:
    record = Record(asset(tmp_path, Source()), started_at=NOON)
    assert not record.state(NOON).ready
    assert record.state(NOON).generation is None


def test_an_expired_generation_is_not_ready(tmp_path: Path) -> None:
    judge = Judge(finding=Finding(expires_at=NOON + timedelta(hours=1)))
    web = asset(tmp_path, Source(), judge=judge)
    record = Record(web, started_at=NOON)
    refreshed = refresh(web, wish=Wish.RENEW, clock=Time())
    record.ended(refreshed.outcome, refreshed.holding)
    assert record.is_ready(NOON + timedelta(minutes=59))
    assert not record.is_ready(NOON + timedelta(hours=1))


def test_a_renewed_lease_moves_the_expiry(tmp_path: Path) -> None:
    lease = Lease(id="l", granted_at=NOON, duration=timedelta(hours=1), renewable=True)
    source, clock = Source(lease=lease), Time()
    web = asset(tmp_path, source)
    record = Record(web, started_at=NOON)
    for granted_at in (NOON, NOON + timedelta(minutes=40)):
        source.lease = replace(lease, granted_at=granted_at)
        refreshed = refresh(web, wish=Wish.RENEW, clock=clock)
        record.ended(refreshed.outcome, refreshed.holding)
    assert record.state(NOON).expires_at == NOON + timedelta(minutes=100)
    assert record.is_ready(NOON + timedelta(minutes=90))


def test_a_source_that_was_not_reached_for_max_stale_makes_the_asset_unready(tmp_path: Path) -> None:
    source, clock = Source(), Time()
    web = asset(tmp_path, source, max_stale=timedelta(minutes=10))
    record = Record(web, started_at=NOON)
    for trouble in (None, TransientError("away")):
        source.trouble = trouble
        refreshed = refresh(web, wish=Wish.RENEW, clock=clock)
        record.ended(refreshed.outcome, refreshed.holding)
        clock.passes(minutes=8)
    assert record.is_ready(NOON + timedelta(minutes=10))
    assert not record.is_ready(NOON + timedelta(minutes=11))


def test_failures_are_counted_until_the_next_success_and_the_kind_of_trouble_is_kept(tmp_path: Path) -> None:
    source, clock = Source(trouble=TransientError("away", retry_after=timedelta(seconds=7))), Time()
    web = asset(tmp_path, source)
    record = Record(web, started_at=NOON)

    def look() -> None:
        refreshed = refresh(web, wish=Wish.RENEW, clock=clock)
        record.ended(refreshed.outcome, refreshed.holding)

    look()
    look()
    assert (record.standing.failures, record.standing.retry_after) == (2, timedelta(seconds=7))
    source.trouble = PermanentError("no right")
    look()
    assert (record.standing.failures, record.standing.permanent) == (3, True)
    source.trouble = None
    look()
    assert (record.standing.failures, record.standing.permanent) == (0, False)
    assert [outcome.result for outcome in record.state(NOON).history] == [Result.FAILED] * 3 + [Result.PUBLISHED]


def test_only_what_every_notifier_has_told_counts_as_notified(tmp_path: Path) -> None:
    source, app = Source(), App()
    web = asset(tmp_path, source, app=app)
    record = Record(web, started_at=NOON)
    refreshed = refresh(web, wish=Wish.RENEW, clock=Time())
    record.ended(refreshed.outcome, refreshed.holding)
    assert record.state(NOON).notified_generation is None
    record.holds(next(tell(web.notifiers[0], [web], clock=Time())).holding)
    assert record.state(NOON).notified_generation == 1
    source.put("r2", app_conf=b"two")
    refreshed = refresh(web, wish=Wish.RENEW, clock=Time())
    record.ended(refreshed.outcome, refreshed.holding)
    assert record.state(NOON).notified_generation == 1


def test_a_start_remembers_the_last_outcome(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    refresh(web, wish=Wish.RENEW, clock=Time())
    record = Record(web, started_at=NOON + timedelta(hours=1))
    record.found(begin(web))
    state = record.state(NOON)
    assert (state.result, state.generation, state.last_success_at) == (Result.PUBLISHED, 1, NOON)


def test_the_first_fetch_is_out_of_turn_and_the_look_an_interval_later_is_not(tmp_path: Path) -> None:
    source, clock = Source(), Time()
    web = asset(tmp_path, source)
    record = Record(web, started_at=NOON)
    turns = []
    for _ in range(2):
        refreshed = refresh(web, wish=Wish.RENEW, clock=clock)
        record.ended(refreshed.outcome, refreshed.holding)
        record.holds(record.holding)
        turns.append(record.standing.out_of_turn)
        clock.passes(minutes=5)
    assert turns == [True, False]
