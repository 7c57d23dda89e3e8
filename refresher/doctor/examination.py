"""An examination: sections looked at side by side, each observation timed, and all over when the time is."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Thread
from time import monotonic

from refresher.abilities import Observation, Verdict
from refresher.bug import places_of
from refresher.errors import PermanentError, RefresherError

PATIENCE = 20.0
"""Seconds for everything together; one source that never answers takes about six of them."""

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

    def examine(self) -> None:
        """Look, to the end or to the first error: a plugin's may be any."""
        began = monotonic()
        try:
            for observation in self.look():
                self._note(observation, began)
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
    """All sections looked at, each in a thread that nobody waits for in the end."""
    deadline = monotonic() + within
    threads = [Thread(target=section.examine, daemon=True) for section in sections]
    for thread in threads:
        thread.start()
    for thread, section in zip(threads, sections, strict=True):
        thread.join(max(0.0, deadline - monotonic()))
        if thread.is_alive():
            section.give_up(within)
    return Examination(sections)


def _advice(error: RefresherError) -> str:
    if isinstance(error, PermanentError):
        return "Repair what is named there; until then each attempt fails."
    return "See whether it passes; refresher tries again by itself."
