from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refresher.contract import Lease
from refresher.due import LONGEST, PUNCTUAL, Due, Why, backoff, due, look_at
from refresher.model import Refresh, Result
from refresher.renewal import OVERDUE, SHORTEST, emergency_at, is_renewal_due, unit
from refresher.standing import Standing

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOTHING = Standing(asset="web", started_at=NOW)
PLAIN = replace(NOTHING, generation=1, fetched_at=NOW)
CERTIFICATE = replace(PLAIN, minted=True, valid_from=NOW - 30 * SECOND, expires_at=NOW + DAY)
RENEWABLE = replace(CERTIFICATE, valid_from=NOW - DAY, fetched_at=NOW - DAY, expires_at=NOW + HOUR)
REFRESH = Refresh()
ON_REQUEST = Refresh(every=timedelta(0))


def ask(standing: Standing, refresh: Refresh = REFRESH, *, now: datetime = NOW, seed: str = "pod-1") -> Due:
    answer = due(refresh, standing, now=now, seed=seed)
    assert answer is not None
    return answer


def ended(standing: Standing, result: Result, **facts: Any) -> Standing:
    failures = 0 if result in (Result.PUBLISHED, Result.UNCHANGED) else 1
    return replace(standing, **{"last_attempt_at": NOW, "result": result, "failures": failures} | facts)


def spans(most: timedelta, least: timedelta = timedelta(0)) -> st.SearchStrategy[timedelta]:
    return st.timedeltas(least, most)


# First and source-changed


def test_nothing_held_is_due_now() -> None:
    assert ask(NOTHING) == Due(NOW, Why.FIRST)


def test_a_changed_source_is_due_now_also_when_it_mints() -> None:
    assert ask(replace(CERTIFICATE, source_changed=True)) == Due(NOW, Why.SOURCE_CHANGED)


@pytest.mark.parametrize("standing", [NOTHING, replace(CERTIFICATE, source_changed=True)])
@pytest.mark.parametrize("result", list(Result))
def test_what_is_wanted_now_waits_for_the_back_off_however_the_last_attempt_ended(
    standing: Standing, result: Result
) -> None:
    again = ask(ended(standing, result, failures=6))
    assert again.why is Why.RETRY
    assert 24 * SECOND <= again.at - NOW <= 32 * SECOND


def test_a_short_interval_does_not_hurry_what_nothing_is_held_of() -> None:
    rejected = ended(NOTHING, Result.REJECTED, failures=20)
    assert ask(rejected, Refresh(every=SECOND)).at - NOW >= LONGEST * 0.75


# The interval


def test_the_first_interval_of_a_process_ends_anywhere_within_it() -> None:
    waits = sorted((ask(PLAIN, seed=f"pod-{n}").at - NOW) / REFRESH.every for n in range(1000))
    assert 0 <= waits[0] < 0.02
    assert 0.98 < waits[-1] < 1
    assert max(later - earlier for earlier, later in pairwise(waits)) < 0.02


def test_an_attempt_of_an_earlier_process_does_not_count_for_the_interval() -> None:
    old = ended(PLAIN, Result.UNCHANGED, last_attempt_at=NOW - DAY)
    assert ask(old).at == ask(PLAIN).at > NOW


@given(st.floats(0, 1), st.text(), spans(DAY, SECOND))
def test_later_intervals_keep_within_their_jitter(jitter: float, seed: str, every: timedelta) -> None:
    answer = ask(ended(PLAIN, Result.UNCHANGED), Refresh(every=every, jitter=jitter), seed=seed)
    assert answer.why is Why.INTERVAL
    assert (
        max(every * (1 - jitter), SHORTEST) - SECOND / 1000 <= answer.at - NOW <= every * (1 + jitter) + SECOND / 1000
    )


def test_no_interval_means_only_on_request() -> None:
    assert due(ON_REQUEST, PLAIN, now=NOW, seed="") is None
    assert due(ON_REQUEST, ended(PLAIN, Result.REJECTED), now=NOW, seed="") is None


def test_what_is_minted_has_no_interval() -> None:
    assert ask(CERTIFICATE).why is Why.RENEWAL
    assert due(REFRESH, replace(CERTIFICATE, expires_at=None), now=NOW, seed="") is None


def test_the_interval_comes_before_a_renewal_that_is_farther_away() -> None:
    assert ask(replace(CERTIFICATE, minted=False)).why is Why.INTERVAL


def test_a_clock_that_was_set_back_does_not_put_off_the_interval() -> None:
    ahead = ended(replace(PLAIN, started_at=NOW + DAY), Result.UNCHANGED, last_attempt_at=NOW + DAY)
    assert ask(ahead).at - NOW <= REFRESH.every * 1.1


# Renewal


def test_renewal_counts_from_when_it_was_fetched_not_from_a_backdated_beginning() -> None:
    short = replace(CERTIFICATE, valid_from=NOW - 10 * DAY, expires_at=NOW + 30 * SECOND)
    assert 15 * SECOND <= ask(short).at - NOW <= 20.1 * SECOND


def test_renewal_before_a_fixed_duration() -> None:
    refresh = Refresh(renew_at=8 * HOUR, spread=0.0)
    assert ask(CERTIFICATE, refresh).at == NOW + 16 * HOUR


def test_a_duration_longer_than_the_lifetime_falls_back_to_two_thirds() -> None:
    hour = replace(CERTIFICATE, expires_at=NOW + HOUR)
    for renew_at in (HOUR, 8 * HOUR, 0.0):
        assert ask(hour, Refresh(renew_at=renew_at, spread=0.0)).at == NOW + HOUR * (2 / 3)


def test_a_spread_wider_than_the_share_does_not_renew_from_the_beginning_on() -> None:
    refresh = Refresh(renew_at=0.1, spread=1.0)
    assert min(ask(CERTIFICATE, refresh, seed=str(n)).at for n in range(200)) >= NOW + DAY * 0.05


def test_renewal_at_the_very_end_is_still_before_the_end() -> None:
    assert ask(CERTIFICATE, Refresh(renew_at=1.0, spread=0.0)).at == emergency_at(CERTIFICATE) == NOW + DAY * 0.95


def test_a_thousand_pods_cover_the_spread_evenly() -> None:
    shares = sorted((ask(CERTIFICATE, seed=f"pod-{n}").at - NOW) / DAY for n in range(1000))
    assert 0.52 <= shares[0] < shares[-1] <= 0.67
    for tenth in range(10):
        low = 0.52 + 0.015 * tenth
        assert 60 < sum(low <= share < low + 0.015 for share in shares) < 145


def test_the_moment_is_the_same_after_a_restart_and_another_for_the_next_generation() -> None:
    restarted = replace(CERTIFICATE, started_at=NOW + HOUR)
    assert ask(restarted, now=NOW + HOUR) == ask(CERTIFICATE)
    assert ask(replace(CERTIFICATE, generation=2)) != ask(CERTIFICATE)
    assert ask(replace(CERTIFICATE, asset="other")) != ask(CERTIFICATE)


def test_the_earlier_of_certificate_and_lease_is_renewed_and_a_renewed_lease_counts_from_its_renewal() -> None:
    lease = Lease(id="1", granted_at=NOW, duration=HOUR, renewable=True)
    assert ask(replace(CERTIFICATE, lease=lease)).at - NOW <= 0.67 * HOUR
    later = NOW + 30 * DAY
    renewed = replace(CERTIFICATE, expires_at=None, lease=replace(lease, granted_at=later))
    assert 0.5 * HOUR <= ask(renewed, now=later).at - later <= 0.67 * HOUR


def test_a_lease_of_ten_thousand_years_is_no_accident() -> None:
    lease = Lease(id="1", granted_at=NOW, duration=10_000 * 365 * DAY, renewable=True)
    assert ask(replace(CERTIFICATE, lease=lease)) == ask(CERTIFICATE)
    assert ask(replace(CERTIFICATE, expires_at=None, lease=lease)).at > NOW + 1000 * 365 * DAY


@given(
    lifetime=spans(3650 * DAY, -DAY),
    backdated=spans(3650 * DAY, -DAY),
    renew_at=st.one_of(st.floats(0, 1), spans(400 * DAY)),
    spread=st.floats(0, 1),
    min_interval=spans(MINUTE),
    seed=st.text(),
)
def test_renewal_comes_after_the_least_interval_and_before_the_expiry(
    lifetime: timedelta,
    backdated: timedelta,
    renew_at: float | timedelta,
    spread: float,
    min_interval: timedelta,
    seed: str,
) -> None:
    refresh = Refresh(renew_at=renew_at, spread=spread, min_interval=min_interval)
    held = replace(CERTIFICATE, valid_from=NOW - backdated, expires_at=NOW + lifetime)
    answer = ask(held, refresh, seed=seed)
    assert answer == ask(held, refresh, seed=seed)
    assert answer.at >= NOW + max(min_interval, SHORTEST)
    if backdated >= timedelta(0) and lifetime > max(min_interval, SHORTEST):
        assert answer.at < NOW + lifetime


def test_a_renewal_that_was_missed_is_due_now() -> None:
    assert ask(CERTIFICATE, now=NOW + 2 * DAY) == Due(NOW + 2 * DAY, Why.RENEWAL)


def test_a_source_that_keeps_answering_unchanged_is_asked_after_half_of_what_remains() -> None:
    held = replace(CERTIFICATE, minted=False)
    for left, wait in ((HOUR, HOUR / 2), (10 * SECOND, 5 * SECOND), (SECOND, SECOND), (-HOUR, OVERDUE)):
        now = NOW + DAY - left
        unchanged = ended(held, Result.UNCHANGED, last_attempt_at=now)
        assert ask(unchanged, ON_REQUEST, now=now) == Due(now + wait, Why.RENEWAL)


# After failures


@given(st.integers(1, 10**9), st.floats(0, 1), st.floats(0, 1))
def test_the_back_off_grows_with_each_failure_up_to_five_minutes(failures: int, one: float, other: float) -> None:
    wait, longer = backoff(failures, one), backoff(failures + 1, other)
    assert SHORTEST * 0.75 <= wait <= LONGEST
    assert longer >= wait or longer >= LONGEST * 0.75
    assert backoff(failures + 1, one) >= wait


def test_the_back_off_is_one_second_doubling() -> None:
    assert [backoff(n, 0) / SECOND for n in (0, 1, 2, 3, 9, 10)] == [1, 1, 2, 4, 256, 300]
    assert backoff(1, 1) == 0.75 * SECOND


@given(st.text(), st.text(), st.integers())
def test_the_unit_is_a_number_from_zero_to_below_one(seed: str, part: str, number: int) -> None:
    assert 0 <= unit(seed, part, number) < 1
    assert unit(seed, part, number) == unit(seed, part, number)


def test_the_unit_tells_its_parts_apart() -> None:
    assert len({unit("a", "b", "c"), unit("ab", "c"), unit("a", "bc"), unit("a", "b", "", "c")}) == 4


def test_a_failure_is_retried_before_the_interval_and_never_after_it() -> None:
    assert ask(ended(PLAIN, Result.FAILED)).why is Why.RETRY
    hurried = ask(ended(PLAIN, Result.FAILED, failures=20), Refresh(every=5 * SECOND))
    assert hurried.why is Why.INTERVAL


def test_the_first_retries_of_a_thousand_pods_are_spread() -> None:
    failed = ended(PLAIN, Result.FAILED, failures=9)
    waits = [(ask(failed, seed=str(n), refresh=Refresh(every=HOUR)).at - NOW) / SECOND for n in range(1000)]
    assert 192 <= min(waits) < 195
    assert 253 < max(waits) <= 256


@given(
    left=spans(HOUR, -HOUR), failures=st.integers(1, 100), asked=st.one_of(st.none(), spans(DAY)), minted=st.booleans()
)
def test_a_retry_comes_well_before_half_of_what_remains_and_ten_seconds_after_the_end(
    left: timedelta, failures: int, asked: timedelta | None, minted: bool
) -> None:
    now = NOW + DAY - left
    held = replace(CERTIFICATE, minted=minted)
    failed = ended(held, Result.FAILED, last_attempt_at=now, failures=failures, retry_after=asked)
    wait = ask(failed, now=now).at - now
    bound = max(left / 2, SHORTEST) if left > timedelta(0) else OVERDUE
    planned = max(bound * PUNCTUAL, SHORTEST)
    assert SHORTEST * 0.75 <= wait <= planned
    if asked:
        assert wait >= min(asked, planned)


def test_what_the_source_asks_for_is_obeyed_up_to_an_hour_also_against_the_interval() -> None:
    busy = ended(PLAIN, Result.FAILED, retry_after=20 * MINUTE)
    assert ask(busy, Refresh(every=SECOND)) == Due(NOW + 20 * MINUTE, Why.RETRY)
    assert ask(replace(busy, retry_after=DAY)).at == NOW + HOUR
    assert ask(replace(busy, retry_after=timedelta(0))).at <= NOW + SECOND


def test_a_permanent_failure_waits_for_the_interval() -> None:
    assert ask(ended(PLAIN, Result.FAILED, permanent=True)).why is Why.INTERVAL


@pytest.mark.parametrize(
    ("standing", "refresh"),
    [
        (NOTHING, REFRESH),
        (PLAIN, ON_REQUEST),
        (replace(RENEWABLE, minted=False), REFRESH),
        (RENEWABLE, REFRESH),
    ],
    ids=["nothing-held", "no-interval", "renewal-due", "minted"],
)
def test_a_permanent_failure_is_retried_where_no_interval_would_come_soon_enough(
    standing: Standing, refresh: Refresh
) -> None:
    answer = ask(ended(standing, Result.FAILED, permanent=True), refresh)
    assert answer.why is Why.RETRY
    assert answer.at - NOW <= SECOND


def test_what_is_minted_is_never_retried_within_a_second() -> None:
    failed = ended(RENEWABLE, Result.FAILED)
    assert {ask(failed, seed=str(n)).at for n in range(100)} == {NOW + SECOND}


def test_a_rejection_waits_for_the_interval() -> None:
    assert ask(ended(PLAIN, Result.REJECTED)).why is Why.INTERVAL


@pytest.mark.parametrize("result", [Result.REJECTED, Result.ROLLED_BACK])
def test_what_was_made_and_refused_is_made_again_only_at_its_renewal_and_with_growing_waits(result: Result) -> None:
    assert ask(ended(CERTIFICATE, result)) == ask(CERTIFICATE)
    now = NOW + DAY * 0.7
    refused = ended(CERTIFICATE, result, last_attempt_at=now)
    waits = [ask(replace(refused, failures=n), now=now).at - now for n in range(1, 12)]
    assert waits[0] == SECOND
    assert LONGEST * 0.75 <= waits[-1] <= LONGEST
    assert waits[:-2] == sorted(waits[:-2])
    assert ask(refused, Refresh(min_interval=HOUR), now=now).at == now + HOUR


# Pinned


def test_what_is_pinned_is_refreshed_only_at_its_emergency_floor() -> None:
    pinned = replace(CERTIFICATE, pinned=True, minted=False)
    assert ask(pinned) == Due(NOW + 0.95 * DAY, Why.EMERGENCY)
    assert due(REFRESH, replace(PLAIN, pinned=True), now=NOW, seed="") is None
    assert due(REFRESH, ended(replace(PLAIN, pinned=True), Result.FAILED), now=NOW, seed="") is None


def test_what_is_pinned_and_was_over_when_it_arrived_is_not_refreshed_at_once() -> None:
    over = ended(replace(CERTIFICATE, pinned=True, expires_at=NOW), Result.PUBLISHED)
    assert ask(over) == Due(NOW + OVERDUE, Why.EMERGENCY)


def test_a_failed_emergency_is_retried_with_back_off() -> None:
    now = NOW + 0.96 * DAY
    failed = ended(replace(CERTIFICATE, pinned=True), Result.FAILED, last_attempt_at=now, failures=5)
    assert 12 * SECOND <= ask(failed, now=now).at - now <= 16 * SECOND
    assert emergency_at(NOTHING) is None


# Everything together


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    moments = st.one_of(st.none(), spans(20 * DAY, -20 * DAY).map(lambda span: NOW + span))
    leases = st.builds(
        Lease,
        id=st.just("1"),
        granted_at=moments.map(lambda at: at or NOW),
        duration=spans(DAY),
        renewable=st.booleans(),
    )
    return Standing(
        asset=draw(st.text(max_size=3)),
        started_at=draw(moments) or NOW,
        generation=draw(st.one_of(st.none(), st.integers(1, 9))),
        source_changed=draw(st.booleans()),
        minted=draw(st.booleans()),
        valid_from=draw(moments),
        fetched_at=draw(moments),
        expires_at=draw(moments),
        lease=draw(st.one_of(st.none(), leases)),
        last_attempt_at=draw(moments),
        result=draw(st.one_of(st.none(), st.sampled_from(Result))),
        permanent=draw(st.booleans()),
        retry_after=draw(st.one_of(st.none(), spans(DAY))),
        failures=draw(st.integers(0, 50)),
        pinned=draw(st.booleans()),
    )


@given(standings(), spans(DAY), st.one_of(st.floats(0, 1), spans(DAY)), st.floats(0, 1))
@settings(max_examples=500)
def test_no_standing_is_due_in_the_past_or_changes_its_mind(
    standing: Standing, every: timedelta, renew_at: float | timedelta, share: float
) -> None:
    refresh = Refresh(every=every, renew_at=renew_at, spread=share, jitter=share)
    answer = due(refresh, standing, now=NOW, seed="pod-1")
    assert answer == due(refresh, standing, now=NOW, seed="pod-1")
    assert answer is None or answer.at >= NOW


@given(standings(), st.sampled_from(Result), st.integers(0, 50))
@settings(max_examples=500)
def test_nothing_is_due_again_right_after_an_attempt(standing: Standing, result: Result, failures: int) -> None:
    fetched = min(standing.fetched_at or NOW, NOW)
    if result is Result.PUBLISHED:
        fetched, failures = NOW, 0
    past = replace(standing, started_at=min(standing.started_at, NOW), fetched_at=fetched)
    if past.lease and (result is Result.PUBLISHED or past.lease.granted_at > NOW):
        past = replace(past, lease=replace(past.lease, granted_at=NOW))
    tried = replace(past, last_attempt_at=NOW, result=result, failures=failures, retry_after=None)
    answer = due(REFRESH, tried, now=NOW, seed="pod-1")
    assert answer is None or answer.at >= NOW + 0.75 * SECOND


@given(
    lifetimes=st.lists(spans(10 * 365 * DAY), min_size=1, max_size=5),
    backdated=spans(365 * DAY),
    took=spans(SECOND),
    seed=st.text(max_size=3),
    rejecting=st.sets(st.integers(0, 30)),
)
@settings(max_examples=100, deadline=None)
def test_a_year_with_a_hostile_server_mints_no_faster_than_allowed_and_lets_nothing_expire(
    lifetimes: list[timedelta], backdated: timedelta, took: timedelta, seed: str, rejecting: set[int]
) -> None:
    standing, now, minted = replace(NOTHING, minted=True), NOW, list[datetime]()
    while now < NOW + 365 * DAY and len(minted) < 300:
        answer = ask(standing, now=now, seed=seed)
        assert answer.at >= now
        now = answer.at
        minted.append(now)
        expires_at, life = standing.expires_at, lifetimes[len(minted) % len(lifetimes)]
        if expires_at and standing.failures == 0 and expires_at - (standing.fetched_at or NOW) >= 3 * SECOND:
            assert now < expires_at, "expired while the source worked"
        if len(minted) in rejecting:
            facts: dict[str, Any] = {"result": Result.REJECTED, "failures": standing.failures + 1}
        else:
            facts = {"result": Result.PUBLISHED, "failures": 0, "generation": len(minted), "fetched_at": now}
            facts |= {"valid_from": now - backdated, "expires_at": now + life}
        now += min(took, life / 10)
        standing = replace(standing, last_attempt_at=now, **facts)
    assert all(later - earlier >= REFRESH.min_interval for earlier, later in pairwise(minted))


# Looking after what was made anew


def test_what_a_source_can_look_after_is_looked_at_on_the_interval() -> None:
    certificate = ended(CERTIFICATE, Result.UNCHANGED)
    looked_after = replace(certificate, rechecks=True)
    look = look_at(REFRESH, looked_after, now=NOW, seed="pod-1")
    assert look is not None
    assert abs(look - NOW - 5 * MINUTE) <= 30 * SECOND
    assert ask(looked_after) == ask(certificate)
    for other in (certificate, replace(looked_after, pinned=True), replace(looked_after, minted=False)):
        assert look_at(REFRESH, other, now=NOW, seed="pod-1") is None
    assert look_at(ON_REQUEST, looked_after, now=NOW, seed="pod-1") is None


@given(spans(DAY))
def test_a_renewal_is_due_exactly_from_its_planned_moment_on(elapsed: timedelta) -> None:
    now = NOW + elapsed
    planned = ask(CERTIFICATE, now=NOW)
    assert is_renewal_due(REFRESH, CERTIFICATE, now=now, seed="pod-1") == (now >= planned.at)


@pytest.mark.parametrize(
    ("result", "permanent", "backs_off"),
    [(Result.REJECTED, False, True), (Result.FAILED, True, True), (Result.FAILED, False, False)],
)
def test_looks_that_find_it_revoked_and_whose_new_one_is_refused_back_off(
    result: Result, permanent: bool, backs_off: bool
) -> None:
    every = Refresh(every=SECOND)
    refused = ended(replace(CERTIFICATE, rechecks=True), result, permanent=permanent, failures=9)
    look = look_at(every, refused, now=NOW, seed="pod-1")
    assert look is not None
    assert (look - NOW >= 0.75 * LONGEST) is backs_off


def test_a_look_that_failed_is_made_again_when_its_back_off_is_over() -> None:
    certificate = replace(CERTIFICATE, rechecks=True)
    for failures, longest in ((1, SECOND), (3, 4 * SECOND), (20, LONGEST)):
        failed = ended(certificate, Result.FAILED, failures=failures)
        look = look_at(REFRESH, failed, now=NOW, seed="pod-1")
        assert look is not None
        assert 0.75 * longest <= look - NOW <= longest
        assert ask(failed).why is Why.RENEWAL


def test_a_failed_look_puts_off_the_next_look_and_never_the_renewal_beyond_the_back_off() -> None:
    failed = ended(replace(RENEWABLE, rechecks=True), Result.FAILED)
    assert ask(failed).at <= NOW + 2 * SECOND


def test_what_is_pinned_is_renewed_at_the_floor_of_its_lease_too() -> None:
    lease = Lease(id="l", granted_at=NOW, duration=HOUR, renewable=True)
    pinned = ended(replace(PLAIN, minted=True, lease=lease, pinned=True), Result.UNCHANGED)
    assert ask(pinned) == Due(NOW + 57 * MINUTE, Why.EMERGENCY)
    both = replace(pinned, expires_at=NOW + 20 * MINUTE)
    assert ask(both) == Due(NOW + 19 * MINUTE, Why.EMERGENCY)


# Rotation at the source


def test_a_source_that_says_when_it_changes_is_looked_at_a_second_later() -> None:
    standing = ended(replace(PLAIN, changes_at=NOW + MINUTE), Result.UNCHANGED)
    assert ask(standing) == Due(NOW + MINUTE + SECOND, Why.ROTATION)


def test_a_source_that_is_late_is_looked_at_ever_more_slowly_and_at_last_on_the_interval() -> None:
    changes_at, at = NOW, NOW + SECOND
    waits = []
    for _ in range(20):
        again = ask(ended(replace(PLAIN, changes_at=changes_at), Result.UNCHANGED, last_attempt_at=at), now=at)
        waits.append(again.at - at)
        at = again.at
    assert waits[:4] == [1 * SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]
    assert again.why is Why.INTERVAL


def test_assets_that_one_answer_served_are_due_together_again() -> None:
    one, other = (ended(replace(PLAIN, asset=name), Result.UNCHANGED) for name in ("one", "other"))
    assert ask(one) == ask(other)


def test_a_source_that_dates_each_new_lease_back_is_asked_once_a_second_at_most() -> None:
    lease = Lease(id="l", granted_at=NOW - DAY, duration=HOUR, renewable=False)
    standing = ended(replace(PLAIN, minted=True, lease=lease), Result.PUBLISHED)
    assert ask(standing).at >= NOW + SECOND
