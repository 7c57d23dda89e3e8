"""A clockwork that the test turns, and a reporter that notes what came of it."""

from collections.abc import Callable
from datetime import datetime, timedelta

from refresher.due import Due
from refresher.model import Outcome
from refresher.notify import Telling
from tests.fakes.source import Time


class Turned:
    """A clockwork that runs what is due when the test says so."""

    def __init__(self, clock: Time) -> None:
        self.clock = clock
        self.armed: dict[str, tuple[datetime, Callable[[], None]]] = {}

    def at(self, key: str, when: datetime, action: Callable[[], None]) -> None:
        self.armed[key] = (when, action)

    def cancel(self, key: str) -> None:
        self.armed.pop(key, None)

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
