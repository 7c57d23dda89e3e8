"""What people read on a terminal."""

from datetime import UTC, datetime
from typing import Any

from refresher.tables import outcome_table, status_table

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def state(**facts: Any) -> dict[str, Any]:
    well = {
        "asset": "web-tls",
        "result": "published",
        "generation": 7,
        "notified_generation": 7,
        "refused": None,
        "pinned": False,
        "expires_at": "2026-11-23T09:30:00Z",
        "next_refresh_at": "2026-11-22T09:05:30Z",
        "why_next": "renewal",
        "error": None,
    }
    return well | facts


def row(**facts: Any) -> str:
    return status_table([state(**facts)], now=NOW).splitlines()[1]


def test_an_asset_that_is_well_takes_one_line_without_an_error_column() -> None:
    table = status_table([state()], now=NOW)
    assert "ERROR" not in table
    assert table.splitlines()[1].split("  ")[0] == "✓ web-tls"
    assert "in 1d 30m" in table
    assert "in 5m 30s (renewal)" in table


def test_what_the_app_does_not_know_or_refuses_is_said() -> None:
    assert "not yet (6)" in row(notified_generation=6)
    assert row(refused="422 no such directive").endswith("422 no such directive")
    assert "  refused  " in row(refused="422 no such directive")


def test_a_pinned_asset_says_so_instead_of_a_next_refresh() -> None:
    assert "pinned to 7" in row(pinned=True, next_refresh_at=None)


def test_an_asset_that_was_never_fetched_shows_its_error() -> None:
    line = row(result="failed", generation=None, notified_generation=None, expires_at=None, error="no such path")
    assert line.startswith("✗ web-tls  failed  -  ")
    assert line.endswith("no such path")


def test_what_is_over_is_ago() -> None:
    assert "2h ago" in row(expires_at="2026-11-22T07:00:00Z")


def test_outcomes_are_a_line_each() -> None:
    table = outcome_table([state(), state(asset="model", result="failed", error="away")])
    assert [line.split()[1] for line in table.splitlines()[1:]] == ["web-tls", "model"]


def test_a_refresh_of_what_is_pinned_says_that_nobody_was_asked() -> None:
    pinned = outcome_table([state(result="unchanged", pinned=True)])
    assert "pinned to 7, so the source was not asked: refresher unpin web-tls" in pinned
    assert "pinned" not in outcome_table([state(result="published", pinned=True)])
