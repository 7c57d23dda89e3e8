"""Keepers on a clockwork that the test turns, and a reporter that notes."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from refresher.due import Due
from refresher.endpoint import Endpoints
from refresher.keeper import Keeper
from refresher.model import Asset, Budget, Outcome
from refresher.notify import Telling
from refresher.record import Record
from refresher.teller import Tellers
from tests.fakes.source import Time


class Turned:
    """A clockwork that runs what is due when the test says so."""

    def __init__(self, clock: Time) -> None:
        self.clock = clock
        self.armed: dict[str, tuple[datetime, Callable[[], None]]] = {}

    def at(self, key: str, when: datetime, action: Callable[[], None]) -> None:
        self.armed[key] = (when, action)

    def turn(self, **amount: float) -> None:
        """Let time pass, and run everything that falls due on the way, in order."""
        end = self.clock.now + timedelta(**amount)
        while (due := [(when, key) for key, (when, _) in self.armed.items() if when <= end]) != []:
            when, key = min(due)
            self.clock.now = max(when, self.clock.now)
            self.armed.pop(key)[1]()
        self.clock.now = end


class Noted:
    """A reporter that notes."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.tellings: list[Telling] = []

    def refreshed(self, outcome: Outcome, due: Due | None) -> None:
        self.outcomes.append(outcome)

    def told(self, telling: Telling) -> None:
        self.tellings.append(telling)


def all_kept(
    assets: list[Asset],
    clock: Time,
    budget: Budget = Budget(),  # noqa: B008 - it is frozen
) -> tuple[list[Keeper], Turned, Noted]:
    clockwork, noted = Turned(clock), Noted()
    records = [Record(one, started_at=clock()) for one in assets]
    parts: dict[str, Any] = {"clockwork": clockwork, "clock": clock, "seed": "pod-1", "reporter": noted}
    keepers: dict[str, Keeper] = {}
    tellers = Tellers(records, rolled_back=lambda one: keepers[one.name].was_rolled_back(), **parts)
    endpoints = Endpoints(budget, clockwork=clockwork, clock=clock)
    keepers |= {
        record.asset.name: Keeper(record, tellers=tellers, endpoint=endpoints.of(record.asset), **parts)
        for record in records
    }
    for keeper in keepers.values():
        keeper.start()
    return list(keepers.values()), clockwork, noted
