"""Keepers on a clockwork that the test turns, or on a real one."""

from typing import Any

from refresher.endpoint import Endpoints
from refresher.keeper import Keeper
from refresher.model import Asset, Budget, Clock
from refresher.record import Record
from refresher.teller import Tellers
from refresher.term import Clockwork
from tests.fakes.clockwork import Noted, Turned
from tests.fakes.source import Time


def all_kept(
    assets: list[Asset],
    clock: Time,
    budget: Budget = Budget(),  # noqa: B008 - it is frozen
) -> tuple[list[Keeper], Turned, Noted]:
    clockwork, noted = Turned(clock), Noted()
    return kept_by(clockwork, assets, clock, noted, budget), clockwork, noted


def kept_by(
    clockwork: Clockwork,
    assets: list[Asset],
    clock: Clock,
    noted: Noted,
    budget: Budget = Budget(),  # noqa: B008
) -> list[Keeper]:
    parts: dict[str, Any] = {"clockwork": clockwork, "clock": clock, "seed": "pod-1", "reporter": noted}
    tellers = Tellers(**parts)
    endpoints = Endpoints(budget, clockwork=clockwork, clock=clock)
    records = [Record(one, started_at=clock()) for one in assets]
    keepers = [Keeper(record, tellers=tellers, endpoint=endpoints.of(record.asset), **parts) for record in records]
    for keeper in keepers:
        keeper.join()
    for keeper in keepers:
        keeper.start()
    return keepers
