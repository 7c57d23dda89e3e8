"""One fetch of several sources: all side by side, and all or nothing.

1. Those that make nothing anew are asked first: while one of them is down, nothing is made that would be for nothing.
2. Those that make something anew are asked, unless somebody only looks and they can't look after what they made.
3. Where another source has something new, the files of those that have nothing new are those that are held. A source of
   whose files one is missing or damaged is asked once more, as if nothing of it were held.
4. Leases are replaced together: where one was, the sources whose lease goes on are asked for something new, too.
   Otherwise the one that is retired, and ended after its grace, would name what is still in use.
5. Where any of that fails, leases that are due are renewed all the same: what readers see has to go on working.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic

from refresher import able
from refresher.abilities import Revoking
from refresher.contract import Fetched, Held, Lease, Provider, RemoteFile, Unchanged
from refresher.errors import PermanentError, RefresherError, RejectedError
from refresher.sources import files, leases, revisions
from refresher.sources.asking import Answer, Answered, Question
from refresher.sources.parts import Published, is_whole, name_in
from refresher.sources.revisions import Known
from refresher.sources.troubles import named, together

log = logging.getLogger("refresher")


@dataclass(frozen=True, slots=True)
class Learned:
    """What one fetch leaves for the next.

    The sources that `mint` something anew, questions that were given up without an answer, and the ids of leases that
    were answered with something new instead of being renewed.
    """

    mint: set[str] = field(default_factory=set)
    unanswered: dict[str, Question] = field(default_factory=dict)
    unrenewable: set[str] = field(default_factory=set)


@dataclass
class Fetching:
    """One fetch; `contexts` is where the sources' own fetches are left."""

    sources: Mapping[str, Provider]
    held: Held | None
    parts: Published
    learned: Learned
    timeout: timedelta
    contexts: ExitStack
    answers: dict[str, Answer] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._deadline = monotonic() + self.timeout.total_seconds()
        self._known = revisions.read(self.held.revision) if self.held else {}
        self._leases = leases.apart(self.held.lease if self.held else None)
        self.learned.mint.update(name for name, known in self._known.items() if known.minted)

    def answer(self) -> Answer:
        """What all sources have. Raises TransientError, PermanentError or RejectedError, perhaps as it is left only."""
        try:
            return self._answer()
        except RefresherError as error:
            renewed = self._renewed_all_the_same()  # 5.
            if renewed is None:
                raise
            self.contexts.callback(_raise, error)
            return Unchanged(lease=renewed)

    def _answer(self) -> Answer:
        try:
            self._ask(name for name in self.sources if name not in self.learned.mint)  # 1.
            self._ask(name for name in self.sources if name in self.learned.mint and name not in self.answers)  # 2.
            if len(self._unchanged_sources()) == len(self.sources):
                return self._unchanged()
            self._ask_anew(name for name in self._unchanged_sources() if not self._is_at_hand(name))  # 3.
            self._ask_anew(self._leased_beside_replaced())  # 4.
            return self._fetched()
        except BaseException:
            for name, answer in self.answers.items():
                self._give_back(name, answer)
            raise

    def _ask(self, names: Iterable[str]) -> None:
        asked = {name: self._held_of(name) for name in names}
        unasked = {name for name, held in asked.items() if held and self._is_settled(name, held)}
        self.answers |= dict.fromkeys(unasked, Unchanged())
        self._take({name: held for name, held in asked.items() if name not in unasked})

    def _ask_anew(self, names: Iterable[str]) -> None:
        self._take(dict.fromkeys(names, None))

    def _take(self, asked: Mapping[str, Held | None]) -> None:
        """Ask these side by side; all of them are heard, so that all errors can be said."""
        questions = [self._question(name, held) for name, held in asked.items()]
        taken: list[Answered | RefresherError] = []
        try:
            for question in questions:
                question.wait(until=self._deadline)
        finally:
            taken += [question.taken() for question in questions]
            self._note([each for each in taken if isinstance(each, Answered)], questions)
        if errors := [each for each in taken if isinstance(each, RefresherError)]:
            raise together(errors)
        for name, held in asked.items():
            if held is None and isinstance(self.answers[name], Unchanged):
                raise PermanentError(f"{name}: it answers that nothing changed, and was shown nothing")

    def _question(self, name: str, held: Held | None) -> Question:
        """The source asked; or, if it owes an answer to an earlier fetch, that: each more would cost a thread more."""
        before = self.learned.unanswered.pop(name, None)
        if before is not None and not before.is_over:
            return before
        question = Question(name, self.sources[name], held, self._give_back)
        question.begin()
        return question

    def _note(self, answered: Iterable[Answered], questions: Iterable[Question]) -> None:
        self.learned.unanswered.update((question.source, question) for question in questions if not question.is_over)
        for each in answered:
            self.answers[each.source] = self.contexts.enter_context(each)
            if isinstance(each.answer, Fetched) and each.answer.minted:
                self.learned.mint.add(each.source)
        self.failed |= {question.source for question in questions} - self.answers.keys()

    def _held_of(self, name: str) -> Held | None:
        """What this source is shown: its own revision, lease and digests."""
        if self.held is None or name not in self._known:
            return None
        below = name_in(name, "")
        digests = {
            each.removeprefix(below): digest for each, digest in self.held.digests.items() if each.startswith(below)
        }
        return replace(self.held, revision=self._known[name].revision, digests=digests, lease=self._leases.get(name))

    def _is_settled(self, name: str, held: Held) -> bool:
        """Whether only making it again would tell whether it is still good, and that isn't due."""
        return not held.due and self._known[name].minted and not able.rechecks(self.sources[name])

    def _unchanged_sources(self) -> list[str]:
        return [name for name, answer in self.answers.items() if isinstance(answer, Unchanged)]

    def _is_at_hand(self, name: str) -> bool:
        part = self.parts.of(name)
        return part is not None and is_whole(part)

    def _leased_beside_replaced(self) -> list[str]:
        """The sources whose lease goes on, if that of another one doesn't, or one has come."""
        now = {name: lease.id for name, lease in self._leases_now().items()}
        before = {name: lease.id for name, lease in self._leases.items()}
        return [] if now == before else [name for name in now if now[name] == before.get(name)]

    def _leases_now(self) -> dict[str, Lease]:
        """Each source's lease: the one that came or was renewed, else the held one where nothing else came."""
        before = {name: self._leases.get(name) for name in self._unchanged_sources()}
        now = {name: answer.lease or before.get(name) for name, answer in self.answers.items()}
        return {name: lease for name, lease in now.items() if lease}

    def _give_back(self, name: str, answer: Answer) -> None:
        """End the lease of what goes no further; if that fails, it runs out by itself."""
        source, held, lease = self.sources[name], self._leases.get(name), answer.lease
        if lease is None or (held and held.id == lease.id) or not isinstance(source, Revoking):
            return
        try:
            source.revoke(lease)
        except Exception as error:  # noqa: BLE001 - a plugin's bug must not hide why it goes no further
            log.warning("a lease was not ended: %s", named(name, error))

    def _unchanged(self) -> Unchanged:
        return Unchanged(lease=self._renewed(), as_of=self._asked_at(), changes_at=self._changes_at())

    def _renewed(self) -> Lease | None:
        """What all leases are now, if one of them was renewed."""
        was_renewed = any(answer.lease for answer in self.answers.values())
        return leases.joined(self._leases_now()) if was_renewed else None

    def _renewed_all_the_same(self) -> Lease | None:
        """The leases, if one could be renewed; something new that comes instead is given back, and only once."""
        if self.held is None or not self.held.due or not self._leases:
            return None
        self._deadline = monotonic() + self.timeout.total_seconds()  # one that never answers has taken all of the time
        waiting = self._leases.keys() & self.sources.keys() - self.answers.keys() - self.failed
        with suppress(RefresherError):  # what failed first is said
            self._ask(name for name in sorted(waiting) if self._leases[name].id not in self.learned.unrenewable)
        for name in waiting & self.answers.keys() - set(self._unchanged_sources()):
            self.learned.unrenewable.add(self._leases[name].id)
            self._give_back(name, self.answers[name])
        renewed = {name: lease for name in self._unchanged_sources() if (lease := self.answers[name].lease)}
        return leases.joined(self._leases | renewed) if renewed else None

    def _fetched(self) -> Fetched:
        known = {name: self._known_now(name) for name in self.sources}
        return Fetched(
            revision=revisions.written(known),
            files=[file for name in self.sources for file in self._files_of(name)],
            lease=leases.joined(self._leases_now()),
            minted=any(each.minted for each in known.values()),
            as_of=self._asked_at(),
            changes_at=self._changes_at(),
        )

    def _known_now(self, name: str) -> Known:
        answer = self.answers[name]
        return Known(answer.revision, minted=answer.minted) if isinstance(answer, Fetched) else self._known[name]

    def _files_of(self, name: str) -> list[RemoteFile]:
        answer = self.answers[name]
        if isinstance(answer, Fetched):
            if not answer.files:
                raise RejectedError(f"{name}: the source has no files, and nothing empty is published")
            return files.placed(name, answer)
        part = self.parts.of(name)
        return files.held(name, part) if part else []

    def _asked_at(self) -> datetime | None:
        """The earliest moment at which an answer was given to somebody else before, None if none was."""
        return min((answer.as_of for answer in self.answers.values() if answer.as_of), default=None)

    def _changes_at(self) -> datetime | None:
        return min((answer.changes_at for answer in self.answers.values() if answer.changes_at), default=None)


def _raise(error: RefresherError) -> None:
    raise error
