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


def coming(received: int, expected: int | None, rate: int) -> str:
    transfer = {"received": received, "expected": expected, "seconds": 9.0, "bytes_per_second": rate}
    return row(transfer=transfer).split("(renewal)")[1].strip()


def test_what_is_on_its_way_is_shown_with_its_speed_and_when_it_will_be_there() -> None:
    assert coming(1_200_000_000, 4_300_000_000, 85_000_000) == "1.2 GB of 4.3 GB, 85.0 MB/s, in 36s"
    assert coming(4_300_000_000, 4_300_000_000, 85_000_000) == "4.3 GB, being checked"
    assert coming(999, None, 2_500_000) == "999.0 B, 2.5 MB/s"
    assert coming(0, 5000, 0) == "0.0 B of 5.0 kB, 0.0 B/s"
    assert coming(5_000_000_000_000_000, None, 10) == "5000.0 TB, 10.0 B/s"


def test_nothing_on_its_way_takes_no_column() -> None:
    assert "COMING" not in status_table([state(), state(transfer=None)], now=NOW)


def test_what_is_over_is_ago() -> None:
    assert "2h ago" in row(expires_at="2026-11-22T07:00:00Z")


def test_outcomes_are_a_line_each() -> None:
    table = outcome_table([state(), state(asset="model", result="failed", error="away")])
    assert [line.split()[1] for line in table.splitlines()[1:]] == ["web-tls", "model"]


def test_a_refresh_of_what_is_pinned_says_that_nobody_was_asked() -> None:
    pinned = outcome_table([state(result="unchanged", pinned=True)])
    assert "pinned to 7, so the source was not asked: refresher unpin web-tls" in pinned
    assert "pinned" not in outcome_table([state(result="published", pinned=True)])
