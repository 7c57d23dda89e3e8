"""What people read on a terminal."""

from typing import Any

import pytest

from refresher.tables import outcome_table, status_table
from tests.fakes.documents import NOW, state


def row(**facts: Any) -> str:
    return status_table([state(**facts)], now=NOW).splitlines()[1]


def test_an_asset_that_is_well_takes_one_line() -> None:
    lines = status_table([state()], now=NOW).splitlines()
    assert lines == [
        "ASSET      STATE  GEN  EXPIRES  NEXT",
        "✓ web-tls  fresh  7    in 1 d   in 5 min 30 s, to renew it",
    ]


def test_what_is_wrong_is_said_in_the_line_and_at_length_below_the_table() -> None:
    table = status_table([state(), state(asset="model", result="failed", error="no such path")], now=NOW)
    _, first, second, empty, note = table.splitlines()
    assert first.startswith("! model    failed  7")
    assert second.startswith("✓ web-tls  fresh ")
    assert (empty, note) == ("", "model: failed: no such path")


def test_everything_else_that_there_is_to_say_is_below_too() -> None:
    over = status_table([state(expires_at="2026-11-22T07:00:00Z", result="rejected", pinned=True)], now=NOW)
    assert "✗ web-tls  expired 2 h ago" in over
    assert "\nweb-tls: rejected\nweb-tls: pinned: stays at generation 7" in over


def test_an_asset_that_was_never_fetched_has_no_generation_and_no_end() -> None:
    line = row(result="failed", generation=None, notified_generation=None, expires_at=None, error="no such path")
    assert line.startswith("✗ web-tls  nothing published yet  -    -  ")


@pytest.mark.parametrize(
    "facts",
    [
        {"result": "failed", "error": "a sentence that is longer than a terminal is wide " * 3, "why_next": "retry"},
        {"generation": None, "expires_at": None, "why_next": "first"},
        {"expires_at": "2026-11-22T05:50:00Z", "why_next": "retry", "next_refresh_at": "2026-11-22T09:00:10Z"},
        {"pinned": True, "next_refresh_at": None},
        {"asset": "the-certificate-of-the-gate", "expires_at": "2026-11-22T05:50:00Z", "why_next": "source-changed"},
        {"notified_generation": 6},
        {"transfer": {"received": 43, "expected": 100, "seconds": 1.0, "bytes_per_second": 10}},
    ],
)
def test_it_fits_a_terminal_of_80_columns(facts: dict[str, Any]) -> None:
    assert max(map(len, status_table([state(**facts)], now=NOW).splitlines())) <= 80


def test_what_is_too_long_goes_on_below_where_it_began() -> None:
    head, line, more = status_table([state(generation=None, why_next="first")], now=NOW).splitlines()
    assert more.strip() == "held"
    assert more.index("held") == head.index("NEXT") == line.index("in 5 min")


def test_each_line_is_painted_by_how_much_it_matters() -> None:
    states = [state(), state(asset="model", expires_at="2026-11-22T07:00:00Z")]
    table = status_table(states, now=NOW, paint=lambda level, line: f"{level.name} {line}")
    assert [line.split()[0] for line in table.splitlines()] == ["ASSET", "UNUSABLE", "WELL"]


def test_an_error_cannot_command_the_terminal() -> None:
    assert "\x1b" not in status_table([state(result="failed", error="\x1b[2J")], now=NOW)
    assert "\x1b" not in outcome_table([state(result="failed", error="\x1b[2J")])


def test_no_asset_is_a_table_without_lines() -> None:
    assert status_table([], now=NOW) == "ASSET  STATE  GEN  EXPIRES  NEXT"


def test_outcomes_are_a_line_each() -> None:
    table = outcome_table([state(), state(asset="model", result="failed", error="away")])
    assert [line.split()[1] for line in table.splitlines()[1:]] == ["web-tls", "model"]


def test_a_refresh_of_what_is_pinned_says_that_nobody_was_asked() -> None:
    pinned = outcome_table([state(result="unchanged", pinned=True)])
    assert "pinned to 7, so the source was not asked: refresher unpin web-tls" in pinned
    assert "pinned" not in outcome_table([state(result="published", pinned=True)])
