"""What published files were made of, as long as this process lives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refresher.contract import FileSet, InlineFile
from refresher.render.inputs import Inputs, digest_of


@dataclass(frozen=True)
class Made:
    """Inputs, the revision that they were fetched under, and the digests of the files that were made of them."""

    inputs: Inputs
    revision: str
    outputs: Mapping[str, str]


class Memory:
    """What is published, and what came last, was made of these.

    The two differ where what came last was refused; its source may then have again what it had before.
    """

    def __init__(self) -> None:
        self._kept: tuple[Made, ...] = ()

    def keep(self, inputs: Inputs, revision: str, files: Sequence[InlineFile]) -> None:
        """What came, and may be published."""
        made = Made(inputs, revision, {file.name: digest_of(file.content) for file in files})
        self._kept = (*self._kept[-1:], made)

    def inputs(self, revision: str | None, published: FileSet | None) -> Inputs | None:
        """What the files were made of that readers see; nothing else is of use any more. None after a start.

        They are known by the revision that is held; if none is, because all is wanted anew or the source names none, by
        the files themselves.
        """
        seen = {name: file.digest for name, file in published.files.items()} if published else {}
        for made in reversed(self._kept):
            if made.revision == revision if revision else made.outputs == seen:
                self._kept = (made,)
                return made.inputs
        return None
