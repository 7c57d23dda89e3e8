"""A directory or a file of a Git repository, at what a branch or a tag names."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dulwich.objects import ObjectID

from refresher.abilities import Observation
from refresher.contract import Fetched, Held, Unchanged
from refresher.errors import RefresherError, RejectedError
from refresher_git.options import GitOptions
from refresher_git.remote import PATIENCE, Remote

HASTE = 3.0
"""Seconds to connect, and for each read, of a diagnosis: somebody waits for it at a terminal."""
PORTS = {"https": 443, "http": 80}
LFS = b"version https://git-lfs.github.com/spec/"
"""How a pointer of Git LFS begins (git-lfs, docs/spec.md)."""


@dataclass(frozen=True, slots=True)
class GitFile:
    """A file of one commit; what is kept under its name and its blob's id isn't fetched again."""

    name: str
    revision: str
    flaw: str
    remote: Remote
    size = digest = None
    sensitive = False

    def open(self, offset: int = 0) -> BytesIO:
        """The content from `offset` on. Raises TransientError, PermanentError, RejectedError for what is no file."""
        # Here and not in `fetch`: by now refresher knows the revision, and remembers that it was refused.
        if self.flaw:
            raise RejectedError(f"{self.name} {self.flaw}")
        content = self.remote.content(ObjectID(self.revision.encode()))
        if content.startswith(LFS):
            raise RejectedError(f"{self.name} is kept in Git LFS, and the repository has only a pointer to it")
        return BytesIO(content[offset:])


class GitProvider:
    """Asks what the ref names; only if that is something else, for the commit; only for changed files, for content."""

    Options = GitOptions

    def __init__(self, options: GitOptions, *, patience: float = PATIENCE) -> None:
        self._options, self._patience = options, patience

    @staticmethod
    def from_url(url: str) -> Mapping[str, Any]:
        """`git+https://host/repository.git?ref=main#config/web` as options. ValueError if the URL can't be one."""
        parts = urlsplit(url.removeprefix("git+"))
        asked = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        if [name for name, _ in asked] not in ([], ["ref"]):
            raise ValueError("must have no other parameter than ref")
        repository = parts._replace(query="", fragment="").geturl()
        return {"url": repository, "path": unquote(parts.fragment), **dict(asked)}

    @property
    def endpoint(self) -> str:
        """The server: all assets of it take turns, and wait together while it is away. Neither path nor login."""
        parts = urlsplit(self._options.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        # The port always, so that two ways to write one server are one.
        return f"{parts.scheme}://{host}:{parts.port or PORTS[parts.scheme]}"

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        """See `refresher.contract.Provider`. A commit never changes, so nothing is looked at again in the end."""
        with closing(Remote(self._options, patience=self._patience)) as remote:
            revision = remote.commit(unless=held.revision if held else None)
            if revision is None:
                yield Unchanged()
                return
            files = [GitFile(name, found.decode(), flaw, remote) for name, found, flaw in remote.leaves(revision)]
            yield Fetched(revision=revision.decode(), files=files)

    def diagnose(self) -> Iterator[Observation]:
        """Whether the server answers for the repository, and what the ref names."""
        try:
            with closing(Remote(self._options, patience=HASTE)) as remote:
                revision = remote.named().decode()
        except RefresherError as error:
            yield Observation.fail("repository", str(error), "Compare url, ref, username and token with the server's.")
            return
        yield Observation.ok("repository", f"{self._options.url} answers")
        yield Observation.ok("ref", f"{self._options.ref} is {revision}")
