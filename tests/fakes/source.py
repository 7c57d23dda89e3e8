"""A source in memory that speaks the provider protocol, and an asset around it."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from refresher.contract import Candidate, Change, Fetched, Finding, Held, InlineFile, Lease, Unchanged
from refresher.errors import RejectedError, TransientError
from refresher.model import Asset, NamedNotifier, NamedVerifier, Publish

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@dataclass
class Source:
    """What is at the source; `trouble` is raised instead, `shown` are the helds that it was shown."""

    files: Mapping[str, bytes] = field(default_factory=lambda: {"app.conf": b"one"})
    revision: str = "r1"
    minted: bool = False
    lease: Lease | None = None
    sensitive: bool = False
    trouble: Exception | None = None
    changed_midway: bool = False
    as_of: datetime | None = None
    changes_at: datetime | None = None
    shown: list[Held | None] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    endpoint: str = ""

    def put(self, revision: str, **files: bytes) -> None:
        self.revision, self.files = (
            revision,
            {name.replace("__", "/").replace("_", "."): content for name, content in files.items()},
        )

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        self.shown.append(held)
        if self.trouble:
            raise self.trouble
        if held and held.revision == self.revision and not self.minted:
            yield Unchanged(lease=self.lease, as_of=self.as_of, changes_at=self.changes_at)
            return
        yield Fetched(
            revision=self.revision,
            files=[Noted(name, content, self.sensitive, opened=self.opened) for name, content in self.files.items()],
            lease=self.lease,
            minted=self.minted,
            as_of=self.as_of,
            changes_at=self.changes_at,
        )
        if self.changed_midway:
            raise TransientError("it changed while it was read")


@dataclass
class Logins(Source):
    """Makes a login at each fetch, with a lease of an hour that is never renewed; `ended` are those ended since."""

    minted: bool = True
    clock: Callable[[], datetime] = field(default=lambda: NOON)
    ended: list[str] = field(default_factory=list)
    revoking: Exception | None = None

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        name = f"login{len(self.shown) + 1}"
        self.put(name, login=name.encode())
        self.lease = Lease(id=name, granted_at=self.clock(), duration=timedelta(hours=1), renewable=False)
        with super().fetch(held) as answer:
            yield answer

    def revoke(self, lease: Lease) -> None:
        if self.revoking:
            raise self.revoking
        self.ended.append(lease.id)


@dataclass
class Certificates(Source):
    """Makes a certificate at each fetch that is due; a look gives one only if what is held is `revoked`."""

    minted: bool = True
    rechecks: bool = True
    revoked: bool = False
    made: int = 0

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        if held and not held.due and not self.revoked:
            self.shown.append(held)
            yield Unchanged()
            return
        self.made += 1
        self.put(f"serial{self.made}", tls_crt=f"certificate {self.made}".encode())
        with super().fetch(held) as answer:
            yield answer


@dataclass(frozen=True, slots=True)
class Noted(InlineFile):
    """An inline file that notes when it is opened."""

    opened: list[str] = field(default_factory=list)

    def open(self, offset: int = 0) -> io.BytesIO:
        self.opened.append(self.name)
        return io.BytesIO(self.content[offset:])


@dataclass
class Judge:
    """A verifier that accepts until it is told a reason not to."""

    reason: str | None = None
    trouble: Exception | None = None
    finding: Finding = field(default_factory=Finding)
    seen: list[str] = field(default_factory=list)

    def verify(self, candidate: Candidate) -> Finding:
        self.seen.extend(sorted(candidate.files))
        if self.trouble:
            raise self.trouble
        if self.reason:
            raise RejectedError(self.reason)
        return self.finding


@dataclass
class App:
    """A notifier that notes what it was told; `trouble` is raised instead, and generations in `refuses` are refused."""

    heard: list[Change] = field(default_factory=list)
    trouble: Exception | None = None
    refuses: frozenset[int] = frozenset()

    def notify(self, change: Change) -> None:
        if self.trouble:
            raise self.trouble
        if change.generation in self.refuses:
            raise RejectedError(f"422 of {change.generation}")
        self.heard.append(change)


@dataclass
class Time:
    """A clock that goes when it's told to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **amount: float) -> None:
        self.now += timedelta(**amount)


def asset(volume: Path, source: Source, *, judge: Judge | None = None, app: App | None = None, **changes: Any) -> Asset:
    """An asset called `web` in `volume`, with these parts."""
    publish = changes.pop("publish", Publish())
    made = Asset(
        name="web",
        provider=source,
        source="sha256:source",
        verifiers=(NamedVerifier(name="judge", verifier=judge),) if judge else (),
        checks="sha256:checks",
        directory=volume / "web",
        volume=volume,
        publish=publish,
        notifiers=(NamedNotifier(name="app", key="app:1", notifier=app),) if app else (),
    )
    return replace(made, **changes)


def read(directory: Path) -> dict[str, bytes]:
    """What a reader of the published directory sees, by relative names."""
    found = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        if path.is_file() and not relative.parts[0].startswith(".."):
            found[str(relative)] = path.read_bytes()
    for link in directory.iterdir():
        if link.is_symlink() and link.is_dir() and not link.name.startswith(".."):
            found |= {
                f"{link.name}/{path.relative_to(link)}": path.read_bytes() for path in link.rglob("*") if path.is_file()
            }
    return found
