"""What published files were made of, as long as this process lives."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from refresher.contract import RemoteFile
from refresher.render.inputs import Inputs


class Earlier(Protocol):
    """Where the files of a source can be had that hasn't changed, and isn't asked for them again."""

    def files(self, source: str) -> Sequence[RemoteFile] | None:
        """They, under the source's own names; None if they aren't known, and have to be fetched."""
        ...


class Memory:
    """Inputs by the revision that they were fetched under: of what is published, and of what came last.

    Only what readers see counts for `files`: what came last may have been refused, and the source may be back at what
    it had before.
    """

    def __init__(self) -> None:
        self._by_revision: dict[str, Inputs] = {}
        self._published: str | None = None

    def follow(self, published: str) -> None:
        """Readers see what was made of this revision: nothing else is of use any more."""
        self._published = published
        self._by_revision = {revision: each for revision, each in self._by_revision.items() if revision == published}

    def keep(self, revision: str, inputs: Inputs) -> None:
        """What came under this revision, and may be published."""
        self._by_revision = {known: each for known, each in self._by_revision.items() if known == self._published}
        self._by_revision[revision] = inputs

    def inputs(self) -> Inputs | None:
        """What the published files were made of; None after a start."""
        return self._by_revision.get(self._published) if self._published else None

    def files(self, source: str) -> Sequence[RemoteFile] | None:
        """Those of one source, under its own names: see `Earlier`."""
        inputs = self.inputs()
        if inputs is None:
            return None
        prefix = f"{source}/"
        return [
            replace(file, name=name.removeprefix(prefix))
            for name, file in inputs.contents.items()
            if name.startswith(prefix)
        ]
