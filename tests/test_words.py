"""What is said of how an asset stands."""

from datetime import timedelta
from typing import Any

import pytest

from refresher.due import Why
from refresher.turns import WHY as ENDPOINT_WHY
from refresher.words import (
    WHY,
    Level,
    counted,
    duration,
    ended,
    expiry,
    next_refresh,
    printable,
    remarks,
    size,
    span,
    summary,
    transfer,
    worst_first,
)
from tests.fakes.documents import NOW, state


def coming(received: int, expected: int | None, rate: int) -> dict[str, Any]:
    document = {"received": received, "expected": expected, "seconds": 9.0, "bytes_per_second": rate}
    return state(transfer=document)


def words(**facts: Any) -> list[str]:
    return [remark.words for remark in remarks(state(**facts), now=NOW)]


def sentence(**facts: Any) -> str:
    return remarks(state(**facts), now=NOW)[0].sentence


def test_an_asset_of_which_there_is_nothing_to_say_is_fresh() -> None:
    assert words() == ["fresh"]
    assert words(expires_at=None) == ["fresh"]


def test_a_failure_is_said_with_its_error() -> None:
    assert words(result="failed", error="no such path") == ["failed"]
    assert sentence(result="failed", error="no such path") == "no such path"
    assert sentence(result="rejected", error="too short") == "too short"


def test_what_is_past_its_end_has_expired_from_that_moment_on() -> None:
    assert words(expires_at="2026-11-22T07:00:00Z") == ["expired 2 h ago"]
    assert words(expires_at="2026-11-22T09:00:00Z") == ["expired just now"]
    assert words(expires_at="2026-11-22T09:00:01Z") == ["fresh"]


def test_everything_is_said_and_the_worst_first() -> None:
    facts = {"result": "rejected", "expires_at": "2026-11-22T07:00:00Z", "notified_generation": 6, "pinned": True}
    assert words(**facts) == ["expired 2 h ago", "rejected", "not told yet", "pinned"]


def test_nothing_published_is_bad_only_once_an_attempt_has_ended() -> None:
    assert remarks(state(generation=None, result=None), now=NOW)[0].level is Level.BUSY
    assert remarks(state(generation=None, result="failed"), now=NOW)[0].level is Level.UNUSABLE


def test_what_the_app_does_not_know_is_said_with_what_it_knows() -> None:
    assert sentence(notified_generation=6) == "generation 7 is visible, the app knows of generation 6"
    assert sentence(notified_generation=None) == "generation 7 is visible, the app knows of none"


def test_what_the_app_refuses_is_not_called_untold_too() -> None:
    assert words(refused="no such directive", notified_generation=6) == ["refused by the app"]
    assert sentence(refused="no such directive") == "no such directive"


def test_a_rollback_is_trouble_if_the_app_wanted_it_and_a_pin_if_somebody_did() -> None:
    assert words(result="rolled-back", error="the app answered 422") == ["rolled back"]
    assert words(result="rolled-back", pinned=True) == ["pinned"]
    assert "refresher unpin web-tls" in sentence(pinned=True)


def test_a_download_is_said_in_percent_until_all_has_come() -> None:
    assert [remark.words for remark in remarks(coming(1_849, 4_300, 85), now=NOW)] == ["downloading 43 %"]
    assert [remark.words for remark in remarks(coming(10, None, 85), now=NOW)] == ["downloading"]
    assert [remark.words for remark in remarks(coming(10, 10, 85), now=NOW)] == ["being checked"]


def test_what_is_on_its_way_is_said_with_its_speed_and_when_it_will_be_there() -> None:
    assert transfer(coming(1_200_000_000, 4_300_000_000, 85_000_000)) == "1.2 GB of 4.3 GB, 85.0 MB/s, 36 s left"
    assert transfer(coming(4_300_000_000, 4_300_000_000, 85_000_000)) == "4.3 GB, being checked"
    assert transfer(coming(999, None, 2_500_000)) == "999.0 B, 2.5 MB/s"
    assert transfer(coming(0, 5000, 0)) == "0.0 B of 5.0 kB, 0.0 B/s"
    assert transfer(state()) == ""


def test_sizes_are_in_thousands() -> None:
    assert [size(count) for count in (0, 999, 1000, 5e15)] == ["0.0 B", "999.0 B", "1.0 kB", "5000.0 TB"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (330, "5 min 30 s"),
        (659, "10 min"),
        (12_000, "3 h 20 min"),
        (36_000 + 59 * 60, "10 h"),
        (86_400 + 60, "1 d"),
        (86_400 * 9 + 3600, "9 d 1 h"),
    ],
)
def test_a_duration_has_two_units_only_while_the_first_is_small(seconds: int, said: str) -> None:
    assert duration(timedelta(seconds=seconds)) == said


def test_one_is_no_plural() -> None:
    assert [counted(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]


@pytest.mark.parametrize(
    ("ends_at", "said"),
    [
        (None, "does not expire"),
        ("2026-11-22T12:20:00Z", "expires in 3 h 20 min"),
        ("2026-11-22T09:00:00Z", "expired just now"),
        ("2026-11-22T07:00:00Z", "expired 2 h ago"),
    ],
)
def test_the_end_is_ahead_or_over(ends_at: str | None, said: str) -> None:
    assert expiry(state(expires_at=ends_at), now=NOW) == said


def test_a_moment_is_ahead_past_or_now() -> None:
    assert span("2026-11-22T09:00:01Z", now=NOW) == "in 1 s"
    assert span("2026-11-22T08:59:59Z", now=NOW) == "just now"
    assert span("2026-11-22T08:58:00Z", now=NOW) == "2 min ago"
    assert span(None, now=NOW) == "never"


def test_the_next_refresh_is_said_with_its_reason() -> None:
    assert next_refresh(state(), now=NOW) == "in 5 min 30 s, to renew it"
    assert next_refresh(state(), now=NOW + timedelta(hours=1)) == "now, to renew it"
    assert next_refresh(state(next_refresh_at=None), now=NOW) == "on request"
    assert next_refresh(state(next_refresh_at=None, pinned=True), now=NOW) == "once it is unpinned"


def away(circuit: str, failures: int) -> dict[str, Any]:
    until = "2026-11-22T09:01:00Z"
    return state(endpoint={"address": "https://vault:8200", "circuit": circuit, "until": until, "failures": failures})


def test_a_server_that_is_away_is_said_once_two_assets_found_so() -> None:
    (well,) = remarks(away("open", 1), now=NOW)
    assert well.words == "fresh"
    (one,) = remarks(away("open", 2), now=NOW)
    assert (one.words, one.level) == ("server away", Level.NOTICE)
    assert one.sentence == "https://vault:8200 doesn't answer, as 2 assets found; asked again in 1 min"
    assert remarks(away("half-open", 3), now=NOW)[0].sentence.endswith("as 3 assets found; asked by one at a time")


def test_every_reason_has_its_words() -> None:
    assert set(WHY) == {*Why, ENDPOINT_WHY}


def test_the_worst_comes_first_and_of_equals_what_expires_first() -> None:
    states = [
        state(asset="endless", expires_at=None),
        state(asset="well"),
        state(asset="soon", result="failed", expires_at="2026-11-22T10:00:00Z"),
        state(asset="later", result="failed"),
        state(asset="over", expires_at="2026-11-22T07:00:00Z"),
    ]
    assert [each["asset"] for each in worst_first(states, now=NOW)] == ["over", "soon", "later", "well", "endless"]


def test_all_together_are_summed_up_in_one_line() -> None:
    bad, well = state(asset="bad", result="failed"), state()
    pinned = state(asset="fixed", pinned=True)
    assert summary([well, state(asset="b")], now=NOW) == (Level.WELL, "2 assets, all fresh")
    assert summary([well], now=NOW) == (Level.WELL, "web-tls: fresh")
    assert summary([well, pinned], now=NOW) == (Level.NOTICE, "2 assets, none in trouble")
    assert summary([well, bad], now=NOW) == (Level.TROUBLE, "bad: failed")
    assert summary([well, bad, state(asset="new", generation=None)], now=NOW)[1] == "2 of 3 assets need attention"
    assert summary([], now=NOW) == (Level.NOTICE, "no assets are configured")


def outcome(**facts: Any) -> dict[str, Any]:
    moments = {"started_at": "2026-11-22T09:00:00Z", "finished_at": "2026-11-22T09:00:00Z"}
    return {"result": "published", "generation": 7, "fetched_bytes": 0, **moments, **facts}


def test_an_outcome_says_what_came_of_it_how_much_came_and_how_long_it_took() -> None:
    long = {"fetched_bytes": 4_300_000_000, "finished_at": "2026-11-22T09:01:30Z"}
    assert ended(outcome(**long)) == "published generation 7, 4.3 GB in 1 min 30 s"
    assert ended(outcome(result="unchanged")) == "unchanged"
    assert ended(outcome(result="failed", finished_at="2026-11-22T09:00:09Z")) == "failed, in 9 s"
    assert ended(outcome(result="rolled-back", generation=6)) == "rolled back to generation 6"
    assert ended(outcome(result="published", generation=None)) == "published"


def test_what_a_terminal_would_obey_becomes_a_space() -> None:
    assert printable("a\x1b[31mb\u202ec\nd é 鍵") == "a [31mb c d é 鍵"
