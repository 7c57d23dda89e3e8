"""How one asset stands, and what wakes it, for whoever asks: people, programs, kubelet and Prometheus."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from refresher.model import Outcome, Result
from refresher.traffic import Transfer


class Trigger(StrEnum):
    """What woke an asset, besides the schedule and the local API."""

    FILE = "file"
    SOURCE = "source"
    APP = "app"
    SIGNAL = "signal"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetState:
    """How one asset stands: what status, the API and the metrics show. Never any content.

    `refused` is what the app answered, if it can't use the visible generation; `transfer` what is on its way now;
    `renewal_at` when what is visible wants to be replaced, which stays where it is while nothing comes of it.
    """

    asset: str
    required: bool
    result: Result | None
    generation: int | None
    revision: str | None
    digest: str | None
    files: Mapping[str, str]
    published_at: datetime | None
    expires_at: datetime | None
    next_refresh_at: datetime | None
    why_next: str | None
    notified_generation: int | None
    refused: str | None
    pinned: bool
    error: str | None
    last_attempt_at: datetime | None
    last_success_at: datetime | None
    consecutive_failures: int
    ready: bool
    history: tuple[Outcome, ...] = ()
    transfer: Transfer | None = None
    renewal_at: datetime | None = None
