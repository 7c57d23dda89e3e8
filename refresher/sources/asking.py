"""One source asked, in a thread that nobody has to wait for."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from time import monotonic
from types import TracebackType

from refresher.contract import Fetched, Held, Provider, Unchanged
from refresher.errors import RefresherError, TransientError
from refresher.sources.troubles import named

Answer = Fetched | Unchanged


@dataclass(frozen=True, slots=True)
class Answered:
    """A source's answer, inside of its fetch; left as a context manager is."""

    source: str
    answer: Answer
    fetch: AbstractContextManager[Answer]

    def __enter__(self) -> Answer:
        return self.answer

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return self.fetch.__exit__(kind, error, trace)
        except Exception as raised:
            if raised is error:
                raise
            raise named(self.source, raised) from raised


@dataclass(slots=True)
class Question:
    """One source, and what it is shown. `unwanted` gets an answer that comes after nobody waits for it any more."""

    source: str
    provider: Provider
    held: Held | None
    unwanted: Callable[[str, Answer], None]
    _answered: Answered | None = None
    _error: RefresherError | None = None
    _given_up: bool = False
    _afterwards: Callable[[], None] | None = None
    _over: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def begin(self) -> None:
        """Ask, beside whatever else is done; at once, where a container's limit of processes leaves no thread."""
        try:
            Thread(target=self._ask, name=f"source {self.source}", daemon=True).start()
        except RuntimeError:
            self._ask()

    @property
    def is_over(self) -> bool:
        """Whether there was an answer, or an error."""
        return self._over.is_set()

    def wait(self, *, until: float) -> None:
        """Until there is an answer, or an error, or the monotonic clock shows that."""
        # Not Thread.join: a signal makes that take the thread for ended (Python 3.11).
        self._over.wait(max(0.0, until - monotonic()))

    def then(self, act: Callable[[], None]) -> None:
        """Act once it is over, which may be now."""
        with self._lock:
            if not self.is_over:
                self._afterwards = act
                return
        act()

    def taken(self) -> Answered | RefresherError:
        """What came of it; whoever takes it leaves it. What comes later is left by the thread."""
        with self._lock:
            if self._answered:
                return self._answered
            self._given_up = True
        return self._error or TransientError(f"{self.source}: no answer in time (refresh.timeout)")

    def _ask(self) -> None:
        try:
            fetch = self.provider.fetch(self.held)
            answered = Answered(self.source, fetch.__enter__(), fetch)
        except Exception as error:  # noqa: BLE001 - whoever asked gets it, a plugin's bug too
            self._error = named(self.source, error)
        else:
            self._keep_or_leave(answered)
        finally:
            with self._lock:
                self._over.set()
            if self._afterwards:
                self._follow_up(self._afterwards)

    def _follow_up(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 - said here, or the thread's end prints its text
            named(self.source, error)

    def _keep_or_leave(self, answered: Answered) -> None:
        with self._lock:
            if not self._given_up:
                self._answered = answered
                return
        with suppress(Exception), answered as answer:  # a bug's text may quote a secret, and a thread's end prints it
            self.unwanted(self.source, answer)
