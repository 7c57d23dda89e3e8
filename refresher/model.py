"""The nouns of one refresh, as types.

    Asset --fetch--> Fetched --stage--> Candidate --verify--> Verified --publish--> Generation --notify--> Change
                                                                            … and recorded as an Outcome

Each is what the next step takes, and nothing else is. The section types (`Publish`, `Refresh`, `Limits`, `Budget`) are
at once the configuration's schema for those sections.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, ClassVar

from refresher.contract import Fetched, FileSet, Notifier, Provider, StagedFile, Verifier
from refresher.options import Duration, Mode, Share, ShareOrDuration, Size
from refresher.traffic import Traffic
from refresher.volume import Directory

Clock = Callable[[], datetime]
"""Answers the present moment, aware and in UTC."""
ASSET_NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""What an asset may be called: a name that fits into a path, a label and a Kubernetes object's name."""
STRICT: dict[str, str] = {"extra": "forbid"}
"""pydantic's name for: unknown keys are errors."""
MiB = 1024 * 1024
GiB = 1024 * MiB
SECRET_FILE_LIMIT = 4 * MiB
"""Bytes of one sensitive file."""


class Wish(StrEnum):
    """What somebody wants of a refresh.

    A look makes nothing anew; a renewal makes anew what is made anew; `anew` is a person's wish, who also wants tried
    again what was refused.
    """

    LOOK = "look"
    RENEW = "renew"
    ANEW = "anew"


class LayoutName(StrEnum):
    """How a generation becomes visible."""

    KUBERNETES = "kubernetes"
    LINK = "link"
    FILE = "file"
    VERSIONS = "versions"


class StoreName(StrEnum):
    """Where generations are kept."""

    DIRECTORY = "directory"
    VOLUME = "volume"


class OnReject(StrEnum):
    """What follows when the app refuses a generation."""

    KEEP = "keep"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Where and how an asset's files appear. `directory` is absolute once the configuration is loaded."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    directory: Path | None = None
    layout: LayoutName = LayoutName.KUBERNETES
    store: StoreName = StoreName.DIRECTORY
    keep: int = 2
    grace: Duration = timedelta(seconds=60)
    mode: Mode | None = None
    key_mode: Mode = 0o640
    owner: str | None = None
    group: str | None = None
    fsync: bool = True
    nudge: bool = False
    make_room: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """How often. `every` 0 means only at renewal or on request.

    `trigger` is a file that asks when it is made; absolute once the configuration is loaded.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    every: Duration = timedelta(minutes=5)
    jitter: Share = 0.10
    renew_at: ShareOrDuration = 0.67
    spread: Share = 0.15
    min_interval: Duration = timedelta(seconds=1)
    timeout: Duration = timedelta(seconds=60)
    trigger: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much an asset may be.

    Bytes a file and in total, number of files, the bytes a second that a long transfer has to keep and may use at the
    most (None: all there are), connections at a time, and how many times its archive's size an unpacked one may have.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    file: Size = 4 * GiB
    total: Size = 64 * GiB
    files: int = 10_000
    min_rate: Size = 64 * 1024
    max_rate: Size | None = None
    connections: int = 4
    ratio: int = 200

    def of_file(self, *, sensitive: bool) -> int:
        """Bytes that one file may have."""
        return min(self.file, SECRET_FILE_LIMIT) if sensitive else self.file

    @staticmethod
    def named(*, sensitive: bool) -> str:
        """Where that comes from, for messages."""
        return "limits.file; secrets have 4 MiB at most" if sensitive else "limits.file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many assets may ask one server at once, how many a second, and how many in a row after a pause."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    concurrency: int = 16
    per_second: int = 50
    burst: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedVerifier:
    """A verifier and the name that the configuration gave it."""

    name: str
    verifier: Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedNotifier:
    """A notifier, its name, and the key under which the ledger remembers what it has been told.

    The key changes when its options do, so that a new destination is told what is visible.
    """

    name: str
    key: str
    notifier: Notifier
    initial: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One configured thing kept fresh: where from, how checked, where to, whom to tell, how often.

    `source` and `checks` are the fingerprints (`sha256:…`) of the configured source and of its verifiers. `directory`
    is absolute and inside `volume`, the root that is trusted: below it, links are somebody else's. `traffic` is what
    all assets share of the network.
    """

    name: str
    provider: Provider
    source: str
    verifiers: tuple[NamedVerifier, ...]
    checks: str
    directory: Path
    volume: Path
    publish: Publish
    notifiers: tuple[NamedNotifier, ...]
    on_reject: OnReject = OnReject.KEEP
    settle: timedelta = timedelta(seconds=1)
    refresh: Refresh = field(default_factory=Refresh)
    limits: Limits = field(default_factory=Limits)
    required: bool = True
    max_stale: timedelta | None = None
    unpack: bool = False
    traffic: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A published, numbered, immutable set of files: the facts in its `manifest.json`.

    `source` and `checks` are the fingerprints that its asset had; from `valid_from` to `expires_at` it can be used
    (None: no such limit); `minted` says that its source makes something new each time; `leased_until` is the end of
    its lease as it came, and `lease` that one's mark, which earlier generations can have, too.
    """

    asset: str
    number: int
    revision: str
    digest: str
    files: Mapping[str, StagedFile]
    source: str
    checks: str
    minted: bool
    fetched_at: datetime
    published_at: datetime
    valid_from: datetime | None = None
    expires_at: datetime | None = None
    leased_until: datetime | None = None
    lease: str = ""

    def expired(self, now: datetime) -> bool:
        """Whether it can't be used any more, unless its lease was renewed."""
        return any(end is not None and end <= now for end in (self.expires_at, self.leased_until))


def digest_of(files: Mapping[str, StagedFile]) -> str:
    """The digest of a set: `sha256:…` of what `sha256sum` prints for it, the names in order of their code points."""
    lines = (f"{files[name].digest.removeprefix('sha256:')}  {name}\n" for name in sorted(files))
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesOnDisk:
    """Complete, hashed files below an open directory."""

    directory: Directory
    files: Mapping[str, StagedFile]

    def open(self, name: str) -> BinaryIO:
        """The file, read-only; KeyError for a name that isn't in `files`."""
        if name not in self.files:
            raise KeyError(name)
        return self.directory.open_nested(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(FilesOnDisk):
    """Complete and hashed, on disk, not yet trusted. `fetched` is the source's answer that it was made from."""

    asset: str
    now: datetime
    fetched: Fetched
    published: FileSet | None

    @property
    def digest(self) -> str:
        """The digest of the whole set."""
        return digest_of(self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A candidate that every verifier accepted. Only `verify` makes one, and `publish` takes nothing else."""

    candidate: Candidate
    valid_from: datetime | None
    expires_at: datetime | None


class Result(StrEnum):
    """How a refresh ended."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one refresh ended: the record that status, logs, metrics and the schedule are made from.

    `error` is a sentence without secrets, `error_class` the error's class name; `steps` the seconds that each step
    took; `as_of` is when the source was asked, where its answer to another look did.
    """

    asset: str
    result: Result
    started_at: datetime
    finished_at: datetime
    generation: int | None = None
    revision: str | None = None
    error: str | None = None
    error_class: str | None = None
    retry_after: timedelta | None = None
    fetched_bytes: int = 0
    steps: Mapping[str, float] = field(default_factory=dict)
    as_of: datetime | None = None

    @property
    def looked_at(self) -> datetime:
        """When the source was looked at: what the next look is counted from."""
        return self.as_of or self.finished_at
