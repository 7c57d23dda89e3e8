"""A change to tell of."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from refresher.contract import Change


def change(path: Path = Path("/shared/tls"), **different: Any) -> Change:
    usual = Change(
        asset="web-tls",
        generation=7,
        cause="published",
        revision="3a:91",
        digest="sha256:aa",
        path=path,
        files={"tls.crt": "sha256:bb"},
        published_at=datetime(2026, 11, 22, 9, tzinfo=UTC),
        expires_at=datetime(2026, 11, 23, 9, tzinfo=UTC),
    )
    return replace(usual, **different)
