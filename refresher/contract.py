"""The nouns and protocols that plugins see. Public; standard library only.

A plugin is a class that an entry point names (groups `refresher.providers`, `refresher.verifiers`,
`refresher.notifiers`). Its `Options` attribute is a pydantic model; the class is called with one validated instance of
it. Plugins import this module, `refresher.errors` and `refresher.options`, and nothing else of refresher's.

What plugins can do besides their one method is in `refresher.abilities`.
"""

import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The time-limited right to use what was fetched.

    `lasts`: a part of it goes on for so long, where it is several that don't end together (None: it is one).
    """

    id: str
    granted_at: datetime
    duration: timedelta
    renewable: bool
    lasts: timedelta | None = None

    @property
    def expires_at(self) -> datetime:
        """When the right ends, unless it is renewed before; for one without end, the last moment there is."""
        return self._after(self.duration)

    @property
    def over_at(self) -> datetime:
        """When nothing is left of it that could be ended."""
        return self._after(self.duration if self.lasts is None else self.lasts)

    def _after(self, duration: timedelta) -> datetime:
        try:
            return self.granted_at + duration
        except OverflowError:
            if duration < timedelta():
                raise
            return datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What refresher already has, shown to a provider so that it can answer `Unchanged`.

    `due`: the time to renew it has come; if not, somebody only looks, and nothing is made anew without another reason.
    `fresh_for`: an answer will do that the source gave at most so long ago, to another look.
    """

    revision: str
    digests: Mapping[str, str]
    lease: Lease | None = None
    due: bool = True
    fresh_for: timedelta = timedelta(0)


class ByteStream(Protocol):
    """What `RemoteFile.open` returns: bytes in order, read into the caller's buffer."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Read up to `len(buffer)` bytes; 0 means the end. Raises TransientError if the source breaks off early."""
        ...

    def close(self) -> None:
        """Give the connection back, or drop it if the body wasn't read to its end."""
        ...


class RemoteFile(Protocol):
    """One file at the source. Nothing is transferred before `open`."""

    @property
    def name(self) -> str:
        """Relative name, parts joined by `/`."""
        ...

    @property
    def size(self) -> int | None:
        """Promised size in bytes, None if the source doesn't say."""
        ...

    @property
    def digest(self) -> str | None:
        """Promised digest (`sha256:…`) from somewhere that can be trusted for it, else None. An ETag is not one."""
        ...

    @property
    def sensitive(self) -> bool:
        """Whether the content is secret and the file's mode has to be narrow."""
        ...

    def open(self, offset: int = 0) -> ByteStream:
        """The content from `offset` bytes on; may be called again.

        Raises TransientError (StartOverError: from the beginning only), PermanentError or RejectedError.
        """
        ...


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A `RemoteFile` whose content came with the answer; the content never shows in a repr."""

    name: str
    content: bytes = field(repr=False)
    sensitive: bool = True
    digest: str | None = None

    @property
    def size(self) -> int:
        """Length of the content in bytes."""
        return len(self.content)

    def open(self, offset: int = 0) -> ByteStream:
        """The content from `offset` bytes on."""
        return io.BytesIO(self.content[offset:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a verifier learned: from when to when the content can be used (None: it has no such limit)."""

    valid_from: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The source has something else than what is held.

    `revision` is the source's own name for this version (ETag, version id, serial number), compared for equality only.
    `minted` says that the source makes something new at each fetch, so that it is asked only when renewal is due.
    `as_of` is when the source was asked (None: for this fetch); `changes_at` is when it says that it will have
    something else (None: it doesn't say). `finding` is what is known of the content before a verifier looks at it: of a
    certificate that went into the files, say.
    """

    revision: str
    files: Sequence[RemoteFile]
    lease: Lease | None = None
    minted: bool = False
    as_of: datetime | None = None
    changes_at: datetime | None = None
    finding: Finding = Finding()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """What is held is what the source has; `lease` is set when the lease was renewed; the rest as in `Fetched`."""

    lease: Lease | None = None
    as_of: datetime | None = None
    changes_at: datetime | None = None


class Provider(Protocol):
    """Speaks to one kind of source. Never touches the disk that refresher publishes to."""

    def fetch(self, held: Held | None) -> AbstractContextManager[Fetched | Unchanged]:
        """Ask the source.

        Inside the context the files can be opened, all of one revision. Leaving it without an exception confirms that:
        a provider whose source can change midway looks again there, and raises TransientError rather than give a
        mixture. `held` is None when nothing is held, when the source's configuration changed, or when somebody asked
        for something made anew. Raises TransientError, PermanentError or RejectedError, and no vendor's exception.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """A file that is complete on disk: size in bytes, digest computed by refresher (`sha256:…`), permission bits.

    `revision` is the source's own name for this file's version, empty if it has none; `modified` the nanoseconds of
    its last write since 1970.
    """

    size: int
    digest: str
    sensitive: bool
    mode: int = 0o644
    revision: str = ""
    modified: int | None = None


class FileSet(Protocol):
    """Complete, hashed files on disk, by their relative names."""

    @property
    def files(self) -> Mapping[str, StagedFile]:
        """Every file's facts by its name."""
        ...

    def open(self, name: str) -> BinaryIO:
        """The file, read-only; KeyError for a name that isn't in `files`."""
        ...


class Candidate(FileSet, Protocol):
    """What a verifier judges: a file set that is not trusted yet."""

    @property
    def asset(self) -> str:
        """The asset's name, for messages."""
        ...

    @property
    def now(self) -> datetime:
        """The moment to judge for, aware and UTC."""
        ...

    @property
    def published(self) -> FileSet | None:
        """What is visible now, None before the first publish. What a verifier may compare with."""
        ...


class Verifier(Protocol):
    """Says whether a candidate may be published."""

    def verify(self, candidate: Candidate) -> Finding:
        """Accept the candidate, or raise RejectedError with the reason; PermanentError if the check can't be made."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What the main container is told. `files` are the digests by name; never any content.

    `also` names other assets that changed with this one, where one telling of a shared destination stands for all.
    """

    asset: str
    generation: int
    cause: str
    revision: str
    digest: str
    path: Path
    files: Mapping[str, str]
    published_at: datetime
    expires_at: datetime | None
    also: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The change as JSON: what an app's endpoint is sent and a marker holds. Moments in UTC, `…T09:00:00Z`."""
        return {
            "asset": self.asset,
            "generation": self.generation,
            "cause": self.cause,
            "revision": self.revision,
            "digest": self.digest,
            "path": str(self.path),
            "files": dict(self.files),
            "published_at": _written(self.published_at),
            "expires_at": _written(self.expires_at) if self.expires_at else None,
            **({"also": list(self.also)} if self.also else {}),
        }


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Notifier(Protocol):
    """Tells the main container. Safe to repeat: it is repeated until it has worked."""

    def notify(self, change: Change) -> None:
        """Return when the app has heard.

        Raises TransientError or PermanentError (told again later), RejectedError (the app can't use this generation).
        """
        ...
