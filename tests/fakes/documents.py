"""What the API says of an asset, as a client reads it."""

from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def state(**facts: Any) -> dict[str, Any]:
    """An asset that holds generation 7 and is well, but for `facts`."""
    well = {
        "asset": "web-tls",
        "result": "unchanged",
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
