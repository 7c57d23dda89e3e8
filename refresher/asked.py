"""What is wanted of one asset: who asks while somebody else's request is waiting or running shares it."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Lock

from refresher.model import Outcome


@dataclass(frozen=True, slots=True)
class Request:
    """A refresh that somebody asked for: `visible` once it has ended, `told` once telling of it was tried."""

    visible: Future[Outcome] = field(default_factory=Future)
    told: Future[bool] = field(default_factory=Future)

    def refuse(self, outcome: Outcome) -> None:
        """It won't be done: this is how it ended."""
        self.visible.set_result(outcome)
        self.told.set_result(False)


class Asked:
    """At most one request waits and one runs; a look that is wanted has nobody who waits for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: Request | None = None
        self._running: Request | None = None
        self._wanted = False
        self._is_over = False

    def running(self) -> Request | None:
        """The request whose refresh is under way."""
        with self._lock:
            return self._running if self._running and not self._running.visible.done() else None

    def is_waiting(self) -> bool:
        """Whether somebody waits for the next refresh."""
        with self._lock:
            return self._waiting is not None

    def request(self) -> Request | None:
        """The request that the next refresh answers; None once all was given up: nobody would answer."""
        with self._lock:
            if self._is_over:
                return None
            self._waiting = self._waiting or Request()
            self._wanted = True
            return self._waiting

    def look(self) -> bool:
        """Want a refresh soon, without waiting for it; False once all was given up."""
        with self._lock:
            self._wanted = True
            return not self._is_over

    def begin(self) -> Request | None:
        """A refresh begins: the request that it answers, if there is one."""
        with self._lock:
            request, self._waiting, self._wanted = self._waiting, None, False
            self._running = request
            return request

    def unless_wanted(self, arm: Callable[[], None]) -> None:
        """Arm, unless a refresh is wanted: that is armed for now already, and the latest call would win over it."""
        with self._lock:
            if not self._wanted:
                arm()

    def given_up(self) -> tuple[Request | None, bool]:
        """The request that nobody here will answer any more, and whether a refresh is wanted; from now on none is."""
        with self._lock:
            self._is_over = True
            request, self._waiting = self._waiting, None
            return request, self._wanted

    def inherit(self, request: Request) -> None:
        """Answer what another keeper was asked for."""
        with self._lock:
            self._waiting, self._wanted = request, True
