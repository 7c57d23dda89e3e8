"""Telling the app of what a refresh made visible, and obeying its answer."""

import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from refresher import cycle, telling
from refresher.contract import Finding
from refresher.errors import RejectedError, TransientError
from refresher.model import Asset, OnReject, Outcome, Result, Wish
from refresher.notify import Telling
from tests.fakes.source import NOON, App, Judge, Source, Time, asset, read


def refresh(web: Asset, *, clock: Time) -> Outcome:
    return cycle.refresh(web, wish=Wish.RENEW, clock=clock).outcome


def tell(web: Asset, *, clock: Time) -> list[Telling]:
    return [told.telling for named in web.notifiers for told in telling.tell(named, [web], clock=clock)]


def test_the_app_is_told_once_of_what_is_visible(tmp_path: Path) -> None:
    source, app, clock = Source(), App(), Time()
    web = asset(tmp_path, source, app=app)
    refresh(web, clock=clock)
    assert [one.result for one in tell(web, clock=clock)] == ["told"]
    assert tell(web, clock=clock) == []
    assert [(change.generation, change.cause, change.path) for change in app.heard] == [
        (1, "published", tmp_path / "web")
    ]


def test_an_app_that_was_away_is_told_later_and_only_of_the_newest(tmp_path: Path) -> None:
    source, app, clock = Source(), App(trouble=TransientError("connection refused")), Time()
    web = asset(tmp_path, source, app=app)
    for number in range(5):
        source.put(f"r{number}", app_conf=b"%d" % number)
        refresh(web, clock=clock)
        assert [one.result for one in tell(web, clock=clock)] == ["failed"]
    app.trouble = None
    tell(web, clock=clock)
    assert [change.generation for change in app.heard] == [5]


def test_a_telling_that_was_not_written_down_is_repeated_after_a_restart(tmp_path: Path) -> None:
    app = App()
    web = asset(tmp_path, Source(), app=app)
    refresh(web, clock=Time())
    kept = (tmp_path / "web/..refresher/ledger.json").read_bytes()
    tell(web, clock=Time())
    (tmp_path / "web/..refresher/ledger.json").write_bytes(kept)
    tell(web, clock=Time())
    assert [change.generation for change in app.heard] == [1, 1]


def test_a_notifier_that_leaves_out_the_first_generation_tells_of_the_second(tmp_path: Path) -> None:
    source, app = Source(), App()
    web = asset(tmp_path, source, app=app)
    web = replace(web, notifiers=(replace(web.notifiers[0], initial=False),))
    refresh(web, clock=Time())
    tell(web, clock=Time())
    source.put("r2", app_conf=b"two")
    refresh(web, clock=Time())
    tell(web, clock=Time())
    assert [change.generation for change in app.heard] == [2]


def test_what_the_app_refuses_is_rolled_back_and_not_tried_again(tmp_path: Path) -> None:
    source, app, clock = Source(), App(), Time()
    web = asset(tmp_path, source, app=app, on_reject=OnReject.ROLLBACK)
    refresh(web, clock=clock)
    tell(web, clock=clock)
    source.put("r2", app_conf=b"two")
    refresh(web, clock=clock)
    app.trouble = RejectedError("422 no such directive")
    tell(web, clock=clock)
    app.trouble = None
    assert read(tmp_path / "web") == {"app.conf": b"one"}
    tell(web, clock=clock)
    assert [(change.generation, change.cause) for change in app.heard] == [(1, "published"), (1, "rolled-back")]
    outcome = refresh(web, clock=clock)
    assert outcome.result is Result.REJECTED
    assert "no such directive" in str(outcome.error)
    source.put("r3", app_conf=b"three")
    assert refresh(web, clock=clock).generation == 3


def test_a_refused_generation_stays_where_the_one_before_has_expired(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, app, clock = Source(), App(), Time()
    judge = Judge(finding=Finding(expires_at=NOON + timedelta(minutes=1)))
    web = asset(tmp_path, source, app=app, judge=judge, on_reject=OnReject.ROLLBACK)
    refresh(web, clock=clock)
    tell(web, clock=clock)
    clock.passes(minutes=2)
    judge.finding = Finding(expires_at=NOON + timedelta(hours=1))
    source.put("r2", app_conf=b"two")
    refresh(web, clock=clock)
    app.trouble = RejectedError("422")
    with caplog.at_level(logging.WARNING):
        tell(web, clock=clock)
    assert read(tmp_path / "web") == {"app.conf": b"two"}
    assert "expired" in caplog.text
