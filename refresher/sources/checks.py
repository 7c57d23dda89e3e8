"""A verifier that judges one source's files alone, under the names that the source gave them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from refresher.abilities import Promising
from refresher.contract import Candidate, FileSet, Finding, Verifier
from refresher.errors import RejectedError
from refresher.sources.parts import Part, Published, name_in


@dataclass(frozen=True)
class PartOfCandidate(Part):
    """What one source has brought of a candidate."""

    of: Candidate

    @property
    def asset(self) -> str:
        """The asset's name."""
        return self.of.asset

    @property
    def now(self) -> datetime:
        """The moment to judge for."""
        return self.of.now

    @property
    def published(self) -> FileSet | None:
        """What is visible of that source."""
        return Published(self.of.published).of(self.source)


class PromisingVerifier(Verifier, Promising, Protocol):
    """A verifier that is `Promising`."""


@dataclass(frozen=True, slots=True)
class OfSource:
    """The verifier, shown that source's files only."""

    source: str
    verifier: Verifier

    def verify(self, candidate: Candidate) -> Finding:
        """As the verifier finds; the reason says which source."""
        try:
            return self.verifier.verify(PartOfCandidate(self.source, candidate))
        except RejectedError as error:
            raise RejectedError(f"{self.source}: {error}") from error


@dataclass(frozen=True, slots=True)
class PromisingOfSource(OfSource):
    """One that says before the files come which content it will want."""

    verifier: PromisingVerifier

    @property
    def lists(self) -> Sequence[str]:
        """The lists' names in the asset."""
        return [name_in(self.source, name) for name in self.verifier.lists]

    def promised(self, lists: FileSet) -> Mapping[str, str]:
        """The digests by name in the asset."""
        found = self.verifier.promised(Part(self.source, lists))
        return {name_in(self.source, name): digest for name, digest in found.items()}


def of_source(source: str, verifier: Verifier) -> Verifier:
    """The verifier for that source's files alone."""
    if isinstance(verifier, Promising):
        return PromisingOfSource(source, verifier)
    return OfSource(source, verifier)
