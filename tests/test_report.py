import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from refresher.ledger import Told
from refresher.model import Outcome, Result
from refresher.notify import Telling
from refresher.record import Record
from refresher.report import Log
from refresher.traffic import Transfer
from tests.fakes.source import Source, asset

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _hear_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="refresher")


def outcome(second: float, result: Result = Result.FAILED, error: str | None = "answered 500", **facts: Any) -> Outcome:
    at = NOW + timedelta(seconds=second)
    good = {Result.PUBLISHED: {"error": None}, Result.UNCHANGED: {"error": None}}.get(result, {"error": error})
    return Outcome(asset="web", result=result, started_at=at, finished_at=at, generation=7, **good, **facts)


def telling(second: float, result: str = "failed", destination: str = "a", error: str | None = None) -> Telling:
    at = NOW + timedelta(seconds=second)
    told = None if result == "failed" else Told(generation=7, at=at)
    return Telling(
        asset="web",
        notifier="http",
        destination=destination,
        at=at,
        generation=7,
        result=result,
        told=told,
        error=error,
    )


def test_every_published_generation_is_one_line_at_info(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    for second in range(40):
        log.refreshed(outcome(second, Result.PUBLISHED), None)
    assert [record.levelname for record in caplog.records] == ["INFO"] * 40


def test_a_look_that_finds_nothing_new_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    Log().refreshed(outcome(0, Result.UNCHANGED), None)
    assert caplog.records == []


def test_the_same_failure_again_and_again_is_thinned_and_its_end_says_how_many_and_how_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Log()
    for second in range(100):
        log.refreshed(outcome(second), None)
    log.refreshed(outcome(100, Result.UNCHANGED), None)
    *failures, end = [vars(record) for record in caplog.records]
    assert [each["failures"] for each in failures] == [1, 2, 4, 8, 16, 32, 64]
    assert [each["left_out"] for each in failures] == [None, None, 1, 3, 7, 15, 31]
    assert (end["levelname"], end["failures"], end["failing_for"]) == ("INFO", 100, timedelta(seconds=100))
    assert end["message"] == "web: unchanged generation 7, after 100 failures"


def test_another_failure_is_said_at_once(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    for second in range(7):
        log.refreshed(outcome(second), None)
    log.refreshed(outcome(7, error="answered 403"), None)
    assert "403" in caplog.records[-1].message


def test_a_new_spell_of_trouble_is_said_from_its_first_failure(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    for second in (0, 1, 2):
        log.refreshed(outcome(second), None)
    log.refreshed(outcome(3, Result.PUBLISHED), None)
    caplog.clear()
    log.refreshed(outcome(4), None)
    assert [vars(record)["failures"] for record in caplog.records] == [1]


def test_a_failure_says_where_it_ended(caplog: pytest.LogCaptureFixture) -> None:
    Log().refreshed(outcome(0, Result.REJECTED, steps={"stage": 0.1, "fetch": 0.2, "verify": 0.1}), None)
    assert vars(caplog.records[0])["step"] == "verify"


def test_a_rollback_is_said_and_ends_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    log.refreshed(outcome(0), None)
    log.refreshed(outcome(1, Result.ROLLED_BACK, error="the app refused it"), None)
    log.refreshed(outcome(2, Result.PUBLISHED), None)
    assert [vars(record).get("failures") for record in caplog.records] == [1, None, 1]


def test_tellings_are_thinned_for_each_destination_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    for second in range(20):
        log.told(telling(second, error="refused"))
        log.told(telling(second, "told", destination="b"))
    log.told(telling(20, "told"))
    failed = [record for record in caplog.records if vars(record)["result"] == "failed"]
    assert len(failed) == 5
    end = vars(caplog.records[-1])
    assert (end["failures"], end["failing_for"]) == (20, timedelta(seconds=20))
    assert end["message"] == "web: http told, after 20 failures"


def test_what_the_app_refused_is_a_warning_each_time(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    for second in range(3):
        log.told(telling(second, "rejected", error="can't use it"))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


def test_trouble_of_an_asset_that_is_gone_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    log.refreshed(outcome(1), None)
    log.told(telling(1))
    log.forget_all_but({"other"})
    caplog.clear()
    log.refreshed(outcome(2, Result.PUBLISHED), None)
    log.told(telling(2, "told"))
    assert not any("failure" in message for message in caplog.messages)


def coming(received: int, expected: int | None, *, stays: bool = True) -> Transfer:
    return Transfer(received=received, expected=expected, seconds=9.0, rate=1.0, stays=stays)


@pytest.mark.parametrize(
    ("transfer", "said"),
    [
        (None, ""),
        (
            coming(6_000_000, 24_000_000),
            ": 6.0 MB of the 24.0 MB to come have come; what came is kept for the next run",
        ),
        (coming(6_000_000, None, stays=False), ": 6.0 MB have come; the next run begins anew"),
        (
            coming(24_000_000, 24_000_000),
            ": all 24.0 MB have come, and are being checked; what came is kept for the next run",
        ),
    ],
)
@pytest.mark.parametrize(("generation", "held"), [(None, "nothing is published yet"), (7, "the last good files stay")])
def test_what_is_late_is_a_warning_that_says_how_far_it_is_and_what_is_held(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    transfer: Transfer | None,
    said: str,
    generation: int | None,
    held: str,
) -> None:
    state = replace(Record(asset(tmp_path, Source()), started_at=NOW).state(NOW), generation=generation)
    Log().late(state, transfer, asked=True, timeout=timedelta(minutes=2))
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("WARNING", f"web: not done within --timeout 2m{said}; {held}")
    facts = {"asset": "web", "generation": generation, "fetched_bytes": transfer and transfer.received}
    assert {name: vars(record)[name] for name in facts} == facts
