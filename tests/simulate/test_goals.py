"""What the defaults do to a source: the goals that they were chosen for."""

from datetime import timedelta
from typing import Any

import pytest

from refresher.model import Refresh
from refresher.simulate import Behaviour, Findings, Fleet, of_certificates, of_values, simulated
from refresher.simulate.findings import chance

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BY_LOT = 1.15
"""Times the mean that ten thousand pods would peak at by lot; with fewer pods it's more. The proof has ten thousand."""


def values(*, outage: timedelta = 10 * MINUTE, source: Behaviour | None = None, **changes: Any) -> Findings:
    fleet = Fleet(**changes)
    course = of_values(fleet.refresh.every, rollout=fleet.rollout, outage=outage)
    return simulated(fleet, course, source or Behaviour())


def certificates(*, outage: timedelta = 10 * MINUTE, lifetime: timedelta = DAY, **changes: Any) -> Findings:
    fleet = Fleet(**({"pods": 300} | changes))
    return simulated(fleet, of_certificates(lifetime, rollout=fleet.rollout, outage=outage), Behaviour())


def ratio(findings: Findings, phase: str) -> float:
    return findings.ratio(findings.load(phase))


def test_pods_that_were_started_at_once_ask_as_if_by_lot_also_after_an_outage() -> None:
    findings = values(pods=2000, rollout=MINUTE)
    for phase in ("settling", "steady", "later"):
        assert ratio(findings, phase) <= 1.3 / BY_LOT * chance(findings.steady)
    assert ratio(findings, "come-back") <= 3
    assert findings.load("outage").failed == findings.load("outage").requests > 10_000
    assert findings.load("steady").mean == pytest.approx(2000 / 300, rel=0.01)


@pytest.mark.parametrize("outage", [10 * MINUTE, 4 * HOUR], ids=["10m", "4h"])
@pytest.mark.parametrize("skew", [0 * MINUTE, 5 * MINUTE], ids=["right", "skewed"])
def test_nobodys_certificate_of_a_day_expires(outage: timedelta, skew: timedelta) -> None:
    findings = certificates(outage=outage, skew=skew)
    assert findings.load("outage").failed > 0
    assert (findings.expired, findings.longest_expired) == (0, timedelta(0))


def test_certificates_expire_in_an_outage_that_is_longer_than_what_is_left_of_them() -> None:
    findings = certificates(pods=20, lifetime=HOUR, outage=HOUR)
    assert findings.expired == findings.pods == 20
    assert 20 * MINUTE < findings.longest_expired < HOUR


def test_clocks_that_are_behind_by_most_of_a_lifetime_let_certificates_expire() -> None:
    findings = certificates(lifetime=HOUR, outage=0 * SECOND, skew=45 * MINUTE)
    assert 0 < findings.expired < findings.pods / 2


def test_certificates_without_a_spread_are_renewed_all_at_once() -> None:
    foolish, usual = certificates(refresh=Refresh(spread=0), outage=0 * SECOND), certificates(outage=0 * SECOND)
    assert ratio(foolish, "steady") > 5 * ratio(usual, "steady")


def test_a_fleet_that_is_put_in_step_by_a_source_that_is_too_small_for_it_leaves_it() -> None:
    findings = values(pods=300, rollout=0 * SECOND, source=Behaviour(capacity=8))
    assert findings.load("deployment").failed > 300
    assert findings.load("later").failed == 0
    assert ratio(findings, "later") <= 1.3 / BY_LOT * chance(findings.steady)


def test_a_change_reaches_everybody_within_the_longest_interval() -> None:
    findings = values(pods=500)
    assert findings.staleness is not None
    assert 4.5 * MINUTE < findings.staleness < 5.5 * MINUTE + SECOND


def test_the_longest_silence_is_the_outage_and_the_longest_waits_around_it() -> None:
    assert 15 * MINUTE < values(pods=500).silence < 20.5 * MINUTE + SECOND


def test_requests_that_hang_make_fewer_attempts() -> None:
    refused, hanging = values(pods=200), values(pods=200, source=Behaviour(patience=MINUTE))
    assert hanging.load("outage").requests < 0.8 * refused.load("outage").requests


def test_the_same_seed_is_the_same_fleet_and_another_one_isnt() -> None:
    assert values(pods=50) == values(pods=50)
    assert values(pods=50).bins != values(pods=50, seed=2).bins


def test_without_an_outage_nothing_fails() -> None:
    findings = values(pods=50, outage=0 * SECOND)
    assert "outage" not in [load.phase.name for load in findings.loads]
    assert sum(load.failed for load in findings.loads) == 0
