"""How long a connection may keep us waiting."""

from dataclasses import dataclass

from refresher.errors import TransientError


@dataclass(slots=True)
class Pace:
    """The time that one connection may take: `timeout` seconds, and one more for every `min_rate` bytes that came.

    Only the waiting for the source counts: not for our disk, nor for a limit of our own.
    """

    timeout: float
    min_rate: int
    received: int = 0
    waited: float = 0.0

    def count(self, received: int, waited: float) -> None:
        """Add bytes, and the seconds that they took; TransientError once the source is too slow."""
        self.received += received
        self.waited += waited
        allowed = self.timeout + (self.received / self.min_rate if self.min_rate else float("inf"))
        if self.waited > allowed:
            raise TransientError(f"too slow: {self.received} bytes in {self.waited:.0f} s")
