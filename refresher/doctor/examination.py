"""An examination: sections looked at side by side, each observation timed, and all over when the time is."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic

from refresher.abilities import Observation, Verdict
from refresher.bug import places_of
from refresher.errors import PermanentError, RefresherError

PATIENCE = 20.0
"""Seconds for everything together; one source that never answers takes about six of them."""

PARTING = 5.0
"""Seconds in which those that are given up, or interrupted, take back what they made: a login, say."""

Look = Callable[[], Iterable[Observation]]


@dataclass(frozen=True, slots=True)
class Finding:
    """An observation, and the seconds that it took."""

    observation: Observation
    seconds: float


@dataclass(slots=True)
class Section:
    """One thing examined: of which asset (None: of all), what it is, how to look, and what was found so far."""

    asset: str | None
    title: str
    look: Look
    findings: list[Finding] = field(default_factory=list)
    over: Event = field(default_factory=Event)
    ended: Event = field(default_factory=Event)

    def begin(self) -> None:
        """Look, in a thread of its own."""
        try:
            Thread(target=self.examine, daemon=True).start()
        except RuntimeError:
            seen, advice = "this container has no thread for it", "Allow it more processes, or name fewer assets."
            self._note(Observation.fail(self.title, seen, advice), monotonic())
            self.ended.set()

    def examine(self) -> None:
        """Look, until it has `ended`: all was seen, it is `over`, or something failed."""
        try:
            self._look()
        finally:
            self.ended.set()

    def _look(self) -> None:
        """To the end, or to the first error: a plugin's may be any."""
        began = monotonic()
        try:
            with _closed(self.look()) as looking:
                for observation in looking:
                    self._note(observation, began)
                    if self.over.is_set():
                        return
                    began = monotonic()
        except RefresherError as error:
            self._note(Observation.fail(self.title, str(error), _advice(error)), began)
        except Exception as error:  # noqa: BLE001 - one plugin's bug must not keep the others from being looked at
            seen = f"a bug, {places_of(error)}"
            self._note(Observation.fail(self.title, seen, "Report it with these places in the code."), began)

    def give_up(self, within: float) -> None:
        """Note that no more is waited for, after so many seconds."""
        seen = f"no end within {within:g} s"
        advice = "See why it hangs: name resolution has no limit of its own."
        self._note(Observation.fail(self.title, seen, advice), monotonic() - within)

    def _note(self, observation: Observation, began: float) -> None:
        self.findings.append(Finding(observation, monotonic() - began))


@dataclass(frozen=True, slots=True)
class Examination:
    """All sections, in the order in which they are shown."""

    sections: Sequence[Section]

    @property
    def counts(self) -> Counter[Verdict]:
        """How many findings there are of each verdict."""
        return Counter(finding.observation.verdict for section in self.sections for finding in section.findings)

    def passes(self, *, strict: bool) -> bool:
        """Whether nothing fails; `strict`: and there is no warning."""
        return not (self.counts[Verdict.FAIL] or (strict and self.counts[Verdict.WARN]))


def examined(sections: Sequence[Section], *, within: float = PATIENCE) -> Examination:
    """All sections looked at, each in a thread that nobody waits for in the end.

    Whoever interrupts it (Ctrl-C) has those that are under way stop at their next observation, and waits for that.
    """
    deadline = monotonic() + within
    try:
        for section in sections:
            section.begin()
        for section in sections:
            # Not Thread.join: a signal makes that take the thread for ended (Python 3.11).
            if not section.ended.wait(max(0.0, deadline - monotonic())):
                section.give_up(within)
    finally:
        _part(sections, within=min(PARTING, within))
    return Examination(sections)


def _part(sections: Sequence[Section], *, within: float) -> None:
    for section in sections:
        section.over.set()
    deadline = monotonic() + within
    for section in sections:
        section.ended.wait(max(0.0, deadline - monotonic()))


@contextmanager
def _closed(looking: Iterable[Observation]) -> Iterator[Iterable[Observation]]:
    """Close it in the end if it is a generator: that is when one takes back what it made."""
    try:
        yield looking
    finally:
        if isinstance(looking, Generator):
            looking.close()


def _advice(error: RefresherError) -> str:
    if isinstance(error, PermanentError):
        return "Repair what is named there; until then each attempt fails."
    return "See whether it passes; refresher tries again by itself."
