"""A provider around another one: what that fetches goes into the files that `render` names, and only those come out.

1. The source is shown what it gave: its own revision, and what the published files were made of, if that is known.
2. Unchanged is unchanged.
3. What came is held in memory, judged by the verifiers that the source implies, and rendered.
4. What those verifiers found of it (an expiry) goes with the files: nobody can read it off a template's output.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from refresher import able
from refresher.abilities import Building, Following, FollowingPart, Observation, Revoking
from refresher.contract import ByteStream, Fetched, FileSet, Finding, Held, Lease, Provider, StagedFile, Unchanged
from refresher.errors import PermanentError, RefresherError
from refresher.model import Limits, NamedVerifier
from refresher.render.inputs import Copied, Inputs, read
from refresher.render.memory import Memory
from refresher.render.recipe import Recipe
from refresher.traffic import Progress, Traffic
from refresher.transfer.terms import Terms
from refresher.verify import judge, refuse_html, together

DIGITS = 12
"""Of the recipe's digest in a revision: enough to tell recipes of one asset apart."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Inputs as a verifier sees them: a candidate that is on no disk."""

    asset: str
    now: datetime
    inputs: Inputs
    published: FileSet | None

    @property
    def files(self) -> Mapping[str, StagedFile]:
        """Every file's facts by its name."""
        return self.inputs.files

    def open(self, name: str) -> BinaryIO:
        """The file, read-only; KeyError for a name that isn't in `files`."""
        return self.inputs.open(name)


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that could not be made. Whoever opens it is told why.

    Not the fetch itself fails: its answer has to be known by then, so that a lease that came with it is ended, and what
    is refused is remembered by its revision.
    """

    name: str
    error: RefresherError
    sensitive: bool = True
    size: int | None = None
    digest: str | None = None
    revision: str = ""

    def open(self, offset: int = 0) -> ByteStream:
        """Raises what the rendering raised."""
        raise self.error


class Rendering:
    """Raises what the provider inside raises, and RejectedError for what can't be rendered when that is opened."""

    def __init__(
        self,
        inside: Provider,
        *,
        asset: str,
        recipe: Recipe,
        checks: Sequence[NamedVerifier],
        limits: Limits,
        timeout: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._inside, self._asset, self._recipe, self._checks = inside, asset, recipe, checks
        self._limits, self._timeout, self._clock = limits, timeout, clock
        self._memory = Memory()
        self._published: FileSet | None = None

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        """Ask the source, and render what it has."""
        before = self._memory.inputs(held.revision if held else None, self._published)
        with self._asked(before).fetch(self._shown(held, before)) as answer:  # 1.
            yield answer if isinstance(answer, Unchanged) else self._rendered(answer, before)  # 2.

    @property
    def endpoint(self) -> str:
        """The source's; empty if it names none."""
        return able.endpoint(self._inside)

    @property
    def watched(self) -> Sequence[Path]:
        """What the source watches. Not the templates: they are read with the configuration, and only then."""
        return able.watched(self._inside)

    @property
    def rechecks(self) -> bool:
        """As the source does."""
        return able.rechecks(self._inside)

    @property
    def followed(self) -> Mapping[str, Following]:
        """Waiting at the sources for something else than what this was rendered from."""
        return {name: FollowingPart(each, _source_revision) for name, each in able.followed(self._inside).items()}

    def building_on(self, published: FileSet | None) -> "Rendering":
        """The provider for one fetch, given what readers see now."""
        building = copy.copy(self)
        building._published = published
        return building

    def revoke(self, lease: Lease) -> None:
        """End the lease at the source. Raises TransientError, or PermanentError if it has to run out by itself."""
        if not isinstance(self._inside, Revoking):
            raise PermanentError("its source can't end a lease, so it has to run out by itself")
        self._inside.revoke(lease)

    def close(self) -> None:
        """Nobody uses it any more."""
        able.close(self._inside)

    def diagnose(self) -> Iterable[Observation]:
        """What the source says of itself."""
        return able.diagnosed(self._inside)

    def _asked(self, before: Inputs | None) -> Provider:
        """Whom to ask. It builds on what it gave; after a start, on copies of that."""
        if not isinstance(self._inside, Building):
            return self._inside
        copies = self._recipe.copies
        copied = Copied(self._published, copies) if self._published and copies else None
        return self._inside.building_on(before or copied)

    def _shown(self, held: Held | None, before: Inputs | None) -> Held | None:
        if held is None:
            return None
        revision, rendered_by = _apart(held.revision)
        if held.revision and rendered_by != self._recipe.digest[:DIGITS]:
            return None
        digests = {name: file.digest for name, file in before.files.items()} if before else {}
        return replace(held, revision=revision, digests=digests)

    def _rendered(self, answer: Fetched, before: Inputs | None) -> Fetched:
        # Of a source that names none, it names none either: what was refused once would be refused for ever.
        revision = answer.revision and f"{answer.revision}+{self._recipe.digest[:DIGITS]}"
        try:
            inputs = read(answer.files, self._terms())  # 3.
            finding = self._judged(inputs, before)
            files = self._recipe.files(inputs)
        except RefresherError as error:
            refused = [RefusedFile(name, error) for name in self._recipe.makers]
            return replace(answer, revision=revision, files=refused)
        self._memory.keep(inputs, revision, files)
        return replace(answer, revision=revision, files=files, finding=together([answer.finding, finding]))  # 4.

    def _judged(self, inputs: Inputs, before: Inputs | None) -> Finding:
        refuse_html(inputs)
        candidate = Judged(self._asset, self._clock(), inputs, before)
        return together(judge(candidate, check) for check in self._checks)

    def _terms(self) -> Terms:
        return Terms(self._limits, self._timeout, Traffic(), Progress())


def _source_revision(revision: str) -> str:
    return _apart(revision)[0]


def _apart(revision: str) -> tuple[str, str]:
    """The source's own revision, and which recipe was rendered."""
    source, _, rendered_by = revision.rpartition("+")
    return source, rendered_by
