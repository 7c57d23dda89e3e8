"""What plugins can do besides their one method, each looked for by name. Public; standard library only.

Of providers first, then of notifiers, verifiers and the files that providers offer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from refresher.contract import ByteStream, Change, FileSet, Lease, Provider


@runtime_checkable
class FromUrl(Protocol):
    """A provider class whose sources can be written as a URL of the plugin's scheme."""

    @staticmethod
    def from_url(url: str) -> Mapping[str, Any]:
        """The options that the URL stands for; ValueError if it can't be one of this provider's."""
        ...


@runtime_checkable
class Sharing(Protocol):
    """A provider class whose instances share something: connections that several assets use, say."""

    @property
    def Shared(self) -> type[object]:  # noqa: N802 - a class inside the plugin's class
        """Called once per process, without arguments.

        What it makes is passed to every provider of this kind as `shared=`; its `close()`, if it has one, is called at
        the end.
        """
        ...


@runtime_checkable
class Closable(Protocol):
    """A provider that holds something open, such as connections, or its part of what providers share."""

    def close(self) -> None:
        """Let go of it: the asset is gone from the configuration, or has another provider. Called once, and last.

        Never while a fetch goes on, and not at the end of the process, when what is shared is closed as a whole.
        """
        ...


@runtime_checkable
class ImplyingVerifiers(Protocol):
    """A provider with verifiers that apply even if the user lists none."""

    @property
    def implied_verify(self) -> Sequence[object]:
        """Entries as in the configuration: a name, or `{name: options}`."""
        ...


@runtime_checkable
class Watched(Protocol):
    """A provider whose source, or key to it, is local, so that a change of it can trigger a look at once."""

    @property
    def watched(self) -> Sequence[Path]:
        """The files, and directories with those below, to watch; none if nothing is local with these options.

        None of them has to exist. What they are, and where links lead, is seen anew all the time: asked once is enough.
        """
        ...


HELD = 4.0
"""Seconds that a `Follow.wait` takes at the least that was held back at the source; a pause follows a shorter one."""


class Follow(Protocol):
    """Waiting at one source: by one thread, ended by another one."""

    def wait(self) -> bool:
        """Whether the source has something else than before; False if it hadn't for as long as the source waits.

        Before is the revision that it began with, later what it was when this last answered True: also content that
        couldn't be published. An answer that can't tell is True, because a look decides. Raises as `fetch` does.
        """
        ...

    def close(self) -> None:
        """End it: `wait` comes back soon, whatever it answers or raises. Called once, by any thread."""
        ...


@runtime_checkable
class Following(Protocol):
    """A provider that can wait at its source until it has something else, so that a change is looked at at once."""

    @property
    def follows(self) -> bool:
        """Whether it does so with these options."""
        ...

    def follow(self, revision: str) -> Follow:
        """Waiting for something else than `revision`, of what is held; contacts nobody yet. A connection of its own."""
        ...


@runtime_checkable
class FollowingEach(Protocol):
    """A provider of several sources, each of which is waited at by itself: one that ignores it slows down no other."""

    @property
    def followed(self) -> Mapping[str, Following]:
        """Those of them that can be waited at, by name."""
        ...


@dataclass(frozen=True, slots=True)
class FollowingPart:
    """Waiting at a source of which a provider knows by a revision of its own; `part` makes it the source's."""

    source: Following
    part: Callable[[str], str]
    follows: bool = True

    def follow(self, revision: str) -> Follow:
        """See `Following`."""
        return self.source.follow(self.part(revision))


@runtime_checkable
class Building(Protocol):
    """A provider that makes the new out of what is published: it uses a private key again, say."""

    def building_on(self, published: FileSet | None) -> Provider:
        """The provider for one fetch, given what readers see now (None: nothing)."""
        ...


@runtime_checkable
class Rechecking(Protocol):
    """A provider that can look after what was made anew without making it again.

    Such assets are looked at on the interval, too, with `Held.due` false; the answer is `Unchanged`, unless what is
    held is no good any more.
    """

    @property
    def rechecks(self) -> bool:
        """Whether it does so with these options."""
        ...


@runtime_checkable
class Reaching(Protocol):
    """A provider that asks one server: all who ask it share its turns, and the pause while it doesn't answer."""

    @property
    def endpoint(self) -> str:
        """`https://vault:8200`: neither path nor login, for it is shown; empty if there is none with these options."""
        ...


@runtime_checkable
class Revoking(Protocol):
    """A provider that can end a lease before its time."""

    def revoke(self, lease: Lease) -> None:
        """End it; safe to repeat. Raises TransientError, or PermanentError if it has to run out by itself."""
        ...


class Verdict(StrEnum):
    """What an observation means for fetching, publishing or telling."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One thing that was looked at: what, what was seen, and in one sentence what to do. No secret is in any of them.

    `advice` is empty where there is nothing to do. `server_time` is what the server's clock showed when it answered,
    None if it didn't say. `source` is which of an asset's several it is about; the core sets that.
    """

    of: str
    verdict: Verdict
    seen: str
    advice: str = ""
    server_time: datetime | None = None
    source: str = ""

    @classmethod
    def ok(cls, of: str, seen: str, *, server_time: datetime | None = None) -> Self:
        """As it has to be."""
        return cls(of=of, verdict=Verdict.OK, seen=seen, server_time=server_time)

    @classmethod
    def warn(cls, of: str, seen: str, advice: str, *, server_time: datetime | None = None) -> Self:
        """It works, and perhaps not for long, or not as it is meant."""
        return cls(of=of, verdict=Verdict.WARN, seen=seen, advice=advice, server_time=server_time)

    @classmethod
    def fail(cls, of: str, seen: str, advice: str, *, server_time: datetime | None = None) -> Self:
        """It doesn't work."""
        return cls(of=of, verdict=Verdict.FAIL, seen=seen, advice=advice, server_time=server_time)

    @classmethod
    def skipped(cls, of: str, seen: str) -> Self:
        """It wasn't looked at, and why."""
        return cls(of=of, verdict=Verdict.SKIPPED, seen=seen)


@runtime_checkable
class Diagnosable(Protocol):
    """A provider that can look at its source without fetching: whether it can be reached, and what it lets us do."""

    def diagnose(self) -> Iterable[Observation]:
        """Each observation as soon as it is made, the last one after what makes all further ones pointless.

        Makes nothing at the source, or takes it back; waits for no answer longer than a few seconds. What a fetch would
        raise may be raised here, too, and is the last observation.
        """
        ...


@runtime_checkable
class DiagnosableApp(Protocol):
    """A notifier that can look at the app without telling it anything."""

    def diagnose(self, change: Change | None) -> Iterable[Observation]:
        """As a provider's; `change` is what the app is told of what is visible, None if nothing is."""
        ...


@runtime_checkable
class Promising(Protocol):
    """A verifier that can say before the files come which content it will want: what is kept of that isn't fetched."""

    @property
    def lists(self) -> Sequence[str]:
        """The names of the files that it reads this from, which come before all others; none if it knows without."""
        ...

    def promised(self, lists: FileSet) -> Mapping[str, str]:
        """The digests (`sha256:…`) by file name, from those of its lists that the source has. Nothing is verified yet.

        Raises RejectedError if they can't be read: then nothing is promised, and `verify` says so in its turn.
        """
        ...


@runtime_checkable
class Versioned(Protocol):
    """A remote file with a revision of its own: what is kept under its name and that revision isn't fetched again."""

    @property
    def revision(self) -> str:
        """The source's own name for this file's version; the same one means the same bytes. Empty: nobody can tell."""
        ...


@runtime_checkable
class Ranged(Protocol):
    """A remote file whose parts can be read side by side, each pinned to the same revision as `open` is."""

    @property
    def ranged(self) -> bool:
        """Whether the source allows it for this file."""
        ...

    def open_range(self, offset: int, size: int) -> ByteStream:
        """Exactly `size` bytes from `offset` on. Raises as `open` does."""
        ...


class Check(Protocol):
    """A checksum of another kind than SHA-256, computed while the file arrives."""

    def update(self, chunk: memoryview, /) -> None:
        """The file's next bytes, from its beginning to its end."""
        ...

    def verify(self) -> None:
        """After the last byte: raises TransientError if the checksum isn't the one that the source sent."""
        ...


@runtime_checkable
class Checked(Protocol):
    """A remote file that its source sends checksums for."""

    def check(self) -> Check | None:
        """A new check of the whole file, None if the source sends no checksum; asked once a stream of it is open."""
        ...
