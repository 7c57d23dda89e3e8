"""Every file of the candidate has the digest that a list names, and the list names every file."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from refresher.contract import Candidate, FileSet, Finding
from refresher.errors import RejectedError
from refresher.verifiers.age import Age, age, refuse_unless_newer
from refresher.verifiers.content import listed, text

LIST_LIMIT = 16 * 1024 * 1024
"""Bytes: ten thousand files with names of a thousand characters, and room."""

SIGNATURES = (".sig", ".asc", ".bundle", ".sigstore.json")
"""What a signature of the list is called, after the list's own name: it can't be in the list that it signs."""

_GNU = re.compile(r"(?P<escaped>\\?)(?P<digest>[0-9A-Fa-f]{64}) [ *](?P<name>.+)")
_BSD = re.compile(r"(?P<escaped>\\?)SHA256 ?\((?P<name>.+)\) ?= (?P<digest>[0-9A-Fa-f]{64})")
_ESCAPES = {r"\\": "\\", r"\n": "\n", r"\r": "\r"}

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


class ChecksumsOptions(BaseModel):
    """Where the digests are: exactly one of `file`, a list in the candidate, and `digests` by name, configured.

    The list is what `sha256sum` writes, or `sha256sum --tag` and `sha256` of BSD; names are relative to its directory.
    With `monotonic` it says in a comment how old it is, and one that is older than the published one is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str | None = None
    digests: dict[str, Digest] | None = None
    monotonic: bool = False

    @property
    def needs(self) -> Mapping[str, str]:
        """The file without which it can only refuse, by option."""
        return {"file": self.file} if self.file is not None else {}

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.file is None) == (self.digests is None):
            raise ValueError("must have exactly one of file and digests")
        if self.monotonic and self.file is None:
            raise ValueError("must have a file, if it is monotonic: digests that are configured have no age")
        return self


class ChecksumsVerifier:
    """Compares with the digests that were computed while the files arrived; nothing is read a second time."""

    Options = ChecksumsOptions

    def __init__(self, options: ChecksumsOptions) -> None:
        self._options = options

    def verify(self, candidate: Candidate) -> Finding:
        """Raises RejectedError if a listed file is missing or different, a file isn't listed, or the list is old."""
        if self._options.file is None:
            _compare(candidate, self._options.digests or {}, origin="the configured digests", excepted=frozenset())
        else:
            self._compare_with_list(candidate, self._options.file)
        return Finding()

    @property
    def lists(self) -> tuple[str, ...]:
        """See `refresher.abilities.Promising`."""
        return () if self._options.file is None else (self._options.file,)

    def promised(self, lists: FileSet) -> Mapping[str, str]:
        """The digests that `verify` will compare with. Raises RejectedError as it does for the list alone."""
        name = self._options.file
        if name is None:
            return self._options.digests or {}
        return _read(text(lists, name, limit=LIST_LIMIT), name)

    def _compare_with_list(self, candidate: Candidate, name: str) -> None:
        content = text(candidate, name, limit=LIST_LIMIT)
        if self._options.monotonic:
            _refuse_rollback(candidate, name, age(content, name))
        excepted = frozenset({name, *(name + ending for ending in SIGNATURES)})
        _compare(candidate, _read(content, name), origin=name, excepted=excepted)


def _refuse_rollback(candidate: Candidate, name: str, stated: Age) -> None:
    published = candidate.published
    before = _published_age(published, name) if published else None
    if published and before and published.files[name].digest != candidate.files[name].digest:
        refuse_unless_newer(stated, before, name)


def _published_age(published: FileSet, name: str) -> Age | None:
    """None for a list from before `monotonic`: if it bounded anything, no list could ever follow it."""
    try:
        return age(text(published, name, limit=LIST_LIMIT), name)
    except RejectedError:
        return None


def _compare(candidate: Candidate, digests: Mapping[str, str], *, origin: str, excepted: frozenset[str]) -> None:
    missing = digests.keys() - candidate.files.keys()
    if missing:
        raise RejectedError(f"{origin}: listed files are missing: {listed(missing)}")
    different = [name for name, digest in digests.items() if candidate.files[name].digest != digest]
    if different:
        raise RejectedError(f"{origin}: files differ from their listed digests: {listed(different)}")
    unlisted = candidate.files.keys() - digests.keys() - excepted
    if unlisted:
        raise RejectedError(f"{origin}: files are not listed: {listed(unlisted)}")


def _read(content: str, list_name: str) -> dict[str, str]:
    """The digests of the list by the candidate's names."""
    digests: dict[str, str] = {}
    for number, name, digest in _entries(content, list_name):
        # A second line for a name could say that either content is right; which one was meant, nobody can know.
        if digests.setdefault(name, digest) != digest:
            raise RejectedError(f"{list_name}: line {number} has another digest for a file that was listed before")
    if not digests:
        raise RejectedError(f"{list_name} lists no files")
    return digests


def _entries(content: str, list_name: str) -> Iterator[tuple[int, str, str]]:
    directory = PurePosixPath(list_name).parent
    # Not splitlines(), which ends a line at characters that may be part of a file's name.
    for number, line in enumerate(content.split("\n"), 1):
        written = line.removesuffix("\r")
        if not written or written.startswith("#"):
            continue
        match = _GNU.fullmatch(written) or _BSD.fullmatch(written)
        if match is None:
            raise RejectedError(f"{list_name}: line {number} is not a SHA-256 digest and a name")
        yield number, str(directory / _name(match)), f"sha256:{match['digest'].lower()}"


def _name(match: re.Match[str]) -> str:
    if not match["escaped"]:
        return match["name"]
    return re.sub(r"\\[\\nr]", lambda found: _ESCAPES[found[0]], match["name"])
