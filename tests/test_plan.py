"""The plan, from what is on the volume alone."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from refresher import cycle
from refresher.contract import Finding, Lease
from refresher.due import LONGEST, Why, due
from refresher.errors import PermanentError, TransientError
from refresher.model import Asset, LayoutName, Publish, Refresh, Wish
from refresher.place import opened
from refresher.plan import plan, plan_document, plan_text
from refresher.rollback import go_back
from refresher.standing import standing_of
from tests.fakes.source import NOON, App, Certificates, Judge, Source, Time, asset
from tests.traces import traces

SEED = "pod-1"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ON_REQUEST = Refresh(every=timedelta(0))


def refreshed(web: Asset, clock: Time | None = None) -> Asset:
    cycle.refresh(web, wish=Wish.RENEW, clock=clock or Time())
    return web


def certificate(volume: Path, **changes: Any) -> Asset:
    judge = Judge(finding=Finding(valid_from=NOON - timedelta(seconds=30), expires_at=NOON + DAY))
    return asset(volume, Certificates(), judge=judge, **changes)


def document(web: Asset, after: timedelta = timedelta(0)) -> dict[str, Any]:
    return plan_document(plan(web, now=NOON + after, seed=SEED))


def test_nothing_held_is_due_at_once(tmp_path: Path) -> None:
    told = document(asset(tmp_path, Source()))
    assert (told["held"], told["why_next"], told["exact"]) == (None, "first", True)
    assert told["next_refresh_at"] == "2026-11-22T12:00:00Z"


def test_a_renewal_is_the_schedules_own_moment_and_explained_with_its_numbers(tmp_path: Path) -> None:
    web = refreshed(certificate(tmp_path))
    planned = plan(web, now=NOON + HOUR, seed=SEED)
    own = due(web.refresh, standing_of(web, planned.holding, started_at=NOON), now=NOON + HOUR, seed=SEED)
    assert planned.is_exact
    assert planned.next == own
    assert own is not None
    assert own.renewal is not None
    told = plan_document(planned)
    assert told["why_next"] == "renewal"
    share, spread = f"{own.renewal.share:.1%}", f"{own.renewal.spread:.1%}"
    assert f"at {share} of its lifetime of 1 d" in told["because"]
    assert f"refresh.renew_at 67% minus {spread}, which this pod drew from refresh.spread 15%" in told["because"]
    assert NOON + DAY * own.renewal.share == own.at
    assert told["looks_every"] == "5m"


def test_another_pod_draws_another_moment(tmp_path: Path) -> None:
    web = refreshed(certificate(tmp_path))
    moments = {plan(web, now=NOON, seed=f"pod-{number}").earliest for number in range(5)}
    assert len(moments) == 5


def test_the_floor_is_named_where_it_comes_before_renew_at(tmp_path: Path) -> None:
    web = refreshed(certificate(tmp_path, refresh=Refresh(renew_at=1.0, spread=0.0)))
    assert "5% of its lifetime of 1 d" in document(web)["because"]
    assert document(web)["next_refresh_at"] == "2026-11-23T10:48:00Z"


def test_a_lifetime_too_short_for_its_renewal_waits_for_min_interval(tmp_path: Path) -> None:
    web = refreshed(certificate(tmp_path, refresh=Refresh(min_interval=timedelta(hours=20))))
    assert "refresh.min_interval after 2026-11-22T12:00:00Z" in document(web)["because"]


def test_a_lease_is_told_from_a_certificates_lifetime(tmp_path: Path) -> None:
    lease = Lease(id="a-secret-name", granted_at=NOON, duration=HOUR, renewable=True)
    told = document(refreshed(asset(tmp_path, Source(minted=True, lease=lease))))
    assert "of its lease's lifetime of 1 h since" in told["because"]
    assert "a-secret-name" not in str(told)


def test_the_interval_is_a_span_because_unchanged_looks_are_not_written_down(tmp_path: Path) -> None:
    web = refreshed(asset(tmp_path, Source()))
    told = document(web, timedelta(hours=5))
    assert (told["why_next"], told["exact"], told["next_refresh_at"]) == ("interval", False, None)
    assert (told["earliest"], told["latest"]) == ("2026-11-22T17:00:00Z", "2026-11-22T17:05:30Z")
    assert "refresh.every 5m ± 10%" in told["because"]
    assert "unchanged looks aren't written down" in told["unknown"]


def test_right_after_a_look_that_was_written_down_the_interval_still_has_no_moment_of_its_own(tmp_path: Path) -> None:
    web = refreshed(asset(tmp_path, Source()))
    told = plan(web, now=NOON + timedelta(seconds=5), seed=SEED)
    assert (told.next, told.reason and told.reason.why) == (None, Why.INTERVAL)
    assert told.earliest is not None
    assert told.latest is not None
    assert timedelta(0) < told.earliest - NOON < told.latest - NOON <= timedelta(minutes=5.6)


def test_what_lost_is_listed_with_its_own_reason(tmp_path: Path) -> None:
    source = Source(changes_at=NOON + 2 * HOUR)
    judge = Judge(finding=Finding(expires_at=NOON + DAY))
    told = document(refreshed(asset(tmp_path, source, judge=judge)), timedelta(seconds=1))
    assert told["why_next"] == "interval"
    assert [lost["why"] for lost in told["lost"]] == ["rotation", "renewal"]
    assert "a second after the source said" in told["lost"][0]["because"]


def test_a_rotation_is_not_exact_while_the_look_of_a_restart_may_come_before_it(tmp_path: Path) -> None:
    source = Source(changes_at=NOON + timedelta(seconds=10))
    told = document(refreshed(asset(tmp_path, source)), timedelta(seconds=1))
    assert (told["why_next"], told["next_refresh_at"]) == ("rotation", "2026-11-22T12:00:11Z")
    assert (told["exact"], told["latest"]) == (False, "2026-11-22T12:00:11Z")


def test_after_a_failure_the_retry_is_within_the_longest_back_off(tmp_path: Path) -> None:
    source = Source()
    web = refreshed(asset(tmp_path, source))
    source.trouble = TransientError("down")
    refreshed(web)
    planned = plan(web, now=NOON + HOUR, seed=SEED)
    assert planned.earliest == NOON + HOUR
    assert planned.latest == NOON + HOUR + LONGEST
    told = plan_document(planned)
    assert told["why_next"] == "retry"
    assert "ended failed (2026-11-22T12:00:00Z): back-off of 1s doubling to 5m" in told["because"]
    assert "how many attempts in a row have failed" in told["unknown"]


def test_what_fails_for_good_waits_for_its_interval(tmp_path: Path) -> None:
    source = Source()
    web = refreshed(asset(tmp_path, source))
    source.trouble = PermanentError("no such path")
    assert document(refreshed(web), timedelta(seconds=1))["why_next"] == "interval"


def test_a_minted_renewal_that_is_far_is_exact_although_a_manual_refresh_failed(tmp_path: Path) -> None:
    web = certificate(tmp_path)
    refreshed(web)
    failing = replace(web, provider=Source(minted=True, trouble=TransientError("down")))
    cycle.refresh(failing, wish=Wish.ANEW, clock=Time())
    told = document(web, HOUR)
    assert (told["why_next"], told["exact"]) == ("renewal", True)


def test_a_pinned_asset_is_asked_for_at_its_emergency_floor_alone(tmp_path: Path) -> None:
    web, clock = certificate(tmp_path), Time()
    for _ in range(2):
        cycle.refresh(web, wish=Wish.ANEW, clock=clock)
    go_back(web, to=None, clock=clock)
    told = document(web, HOUR)
    assert told["held"]["pinned"]
    assert (told["why_next"], told["next_refresh_at"], told["lost"]) == ("emergency", "2026-11-23T10:48:00Z", [])


def test_a_pinned_asset_without_an_end_waits_for_somebody(tmp_path: Path) -> None:
    source, clock = Source(), Time()
    web = refreshed(asset(tmp_path, source), clock)
    source.put("r2", app_conf=b"two")
    go_back(refreshed(web, clock), to=None, clock=clock)
    told = document(web)
    assert (told["why_next"], told["next_refresh_at"]) == (None, None)
    assert "pinned to generation 1" in told["because"]


def test_another_configured_source_is_asked_at_once(tmp_path: Path) -> None:
    moved = replace(refreshed(asset(tmp_path, Source())), source="sha256:another")
    told = document(moved, timedelta(hours=1))
    assert told["held"]["source_changed"]
    asked = told["why_next"], told["next_refresh_at"], told["exact"]
    assert asked == ("source-changed", "2026-11-22T13:00:00Z", True)
    assert "another configured source" in told["because"]
    assert told["lost"] == []


def test_another_configured_source_that_failed_is_asked_after_its_back_off(tmp_path: Path) -> None:
    source, clock = Source(), Time()
    moved = replace(refreshed(asset(tmp_path, source), clock), source="sha256:another")
    source.trouble = TransientError("away")
    told = document(refreshed(moved, clock), timedelta(seconds=1))
    assert (told["why_next"], told["exact"]) == ("retry", False)


def test_without_an_interval_and_an_end_it_is_on_request(tmp_path: Path) -> None:
    told = document(refreshed(asset(tmp_path, Source(), refresh=ON_REQUEST)))
    assert (told["why_next"], told["exact"]) == (None, True)
    assert told["because"].startswith("only on request")


def test_who_was_told_of_what_is_shown(tmp_path: Path) -> None:
    told = document(refreshed(asset(tmp_path, Source(), app=App())))["told"]
    assert told == [{"notifier": "app", "generation": None, "at": None, "refused": None, "owed": True}]


@pytest.mark.parametrize("layout", list(LayoutName))
def test_a_plan_leaves_no_trace_and_waits_for_no_lock(tmp_path: Path, layout: LayoutName) -> None:
    web = refreshed(asset(tmp_path, Source(), publish=Publish(layout=layout)))
    before = traces(tmp_path)
    with opened(web) as place, place.store.locked():
        assert document(web)["held"]["generation"] == 1
    assert traces(tmp_path) == before


@pytest.mark.parametrize("layout", list(LayoutName))
def test_planning_makes_no_directory(tmp_path: Path, layout: LayoutName) -> None:
    before = traces(tmp_path)
    assert document(asset(tmp_path, Source(), publish=Publish(layout=layout)))["held"] is None
    assert traces(tmp_path) == before


def test_a_volume_that_cannot_be_read_is_an_error_and_not_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "web").write_text("a file")
    with pytest.raises(PermanentError, match="can't be read"):
        plan(asset(tmp_path, Source()), now=NOON, seed=SEED)


@pytest.mark.parametrize("instead", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_what_somebody_put_in_the_ledgers_place_is_none_as_for_the_sidecar(
    tmp_path: Path, instead: Callable[[Path], object]
) -> None:
    web = refreshed(asset(tmp_path, Source()))
    ledger = tmp_path / "web/..refresher/ledger.json"
    ledger.unlink()
    instead(ledger)
    assert document(web)["held"]["generation"] == 1
    assert cycle.begin(web).current is not None


def test_people_read_what_is_held_and_why_in_a_paragraph(tmp_path: Path) -> None:
    text = plan_text([document(refreshed(certificate(tmp_path)), HOUR)], now=NOON + HOUR)
    name, held, upcoming, look = text.splitlines()
    assert name == "web"
    assert held.startswith("  held  generation 1, revision serial1, 1 file, published 2026-11-22T12:00:00Z (1 h ago), ")
    assert held.endswith("expires 2026-11-23T12:00:00Z (in 23 h), minted")
    assert upcoming.startswith("  next  renewal, 2026-11-2")
    assert look == "  look  every 5m, whether what was made anew is still good"
