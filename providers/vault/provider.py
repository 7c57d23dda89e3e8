"""The `vault` provider: one look at one path of Vault or OpenBao."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from providers.vault import files, kv, leases
from providers.vault import rotation as rotations
from providers.vault.connection import Answer
from providers.vault.login import Login
from providers.vault.options import VaultOptions, options_from_url
from providers.vault.pki.paths import asks_for_certificate, refuse_unfit
from providers.vault.reach import reach
from providers.vault.reads import Endpoint, Reading
from providers.vault.session import Sessions
from providers.vault.time_limit import together_within
from refresher.abilities import Observation
from refresher.contract import Fetched, FileSet, Held, InlineFile, Lease, Unchanged
from refresher.errors import PermanentError

if TYPE_CHECKING:
    from providers.vault.pki.source import CertificateSource


def _now() -> datetime:
    return datetime.now(UTC)


class Shared(Sessions):
    """The connections and logins of this process; the time is the machine's."""

    def __init__(self) -> None:
        super().__init__(_now)


class VaultProvider:
    """Reads a path (key-value, dynamic credentials, any other), or writes to it if there are `data` (PKI, SSH, …).

    Raises ConfigError if it isn't told where the server is, or if a certificate can't be asked for in that way.
    """

    Options: ClassVar[type[VaultOptions]] = VaultOptions
    Shared: ClassVar[type[Shared]] = Shared

    def __init__(self, options: VaultOptions, shared: Sessions) -> None:
        refuse_unfit(options)
        self._options, self._shared, self._reach = options, shared, reach(options)
        self._session = shared.of(self._reach)
        self._endpoint: Endpoint | None = None
        self._read_as = (options.path, options.version)
        if options.data is None:
            self._session.reads.register(self._read_as)
        self._certificates = self._certificate_source()
        self._published: FileSet | None = None

    @staticmethod
    def from_url(url: str) -> Mapping[str, Any]:
        """`vault://PATH[?name=value…][#field]`. Raises ValueError."""
        return options_from_url(url)

    @property
    def implied_verify(self) -> Sequence[Mapping[str, Any]]:
        """A certificate is checked even if nobody asks for it."""
        return self._certificates.implied_verify if self._certificates else []

    @property
    def rechecks(self) -> bool:
        """Certificates are looked after: they may have been revoked."""
        return self._certificates is not None

    def building_on(self, published: FileSet | None) -> "VaultProvider":
        """The provider for one fetch; of what is published it takes the key and the authorities, if it's asked to."""
        if self._certificates is None:
            return self
        building = copy.copy(self)
        building._published = published
        return building

    @property
    def watched(self) -> Sequence[Path]:
        """Where the user keeps a token fresh: with a new one there, what failed for want of it succeeds at once."""
        file = self._options.token_file
        return [file] if file else []

    @property
    def endpoint(self) -> str:
        """The server, however many namespaces and logins it has."""
        return self._session.endpoint

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        """Ask Vault. Raises TransientError or PermanentError."""
        with together_within(self._options.timeout.total_seconds()):
            found = self._look(held)
        yield found

    def diagnose(self) -> Iterator[Observation]:
        """Whether the server answers, works, lets us in, and to this path; the login is revoked. Raises as `fetch`."""
        from providers.vault.diagnosis import Diagnosis  # for one command, and not for each sidecar

        return Diagnosis(self._options, clock=self._session.clock).observations()

    def revoke(self, lease: Lease) -> None:
        """End the lease at the server. Raises TransientError, or PermanentError if it has to run out by itself."""
        path = self._certificates.path if self._certificates else self._options.path
        if not leases.is_from(lease, path):
            raise PermanentError(f"it was not made at {path}, so it has to run out by itself")
        leases.revoke(self._session, lease)

    def close(self) -> None:
        """Leave the session to the others, or close it after the last of them."""
        if self._options.data is None:
            self._session.reads.unregister(self._read_as)
        self._shared.leave(self._reach)

    def _certificate_source(self) -> "CertificateSource | None":
        if not asks_for_certificate(self._options):
            return None
        from providers.vault.pki.source import CertificateSource  # loads cryptography

        return CertificateSource(self._options, self._session)

    def _look(self, held: Held | None) -> Fetched | Unchanged:
        if self._certificates is not None:
            return self._certificates.look(held, self._published)
        if held is not None and held.lease is not None:
            renewed = self._renewed(held.lease)
            if renewed is not None:
                return Unchanged(lease=renewed)
        return self._read(held) if self._options.data is None else self._made(self._options.data)

    def _renewed(self, lease: Lease) -> Lease | None:
        return leases.renewed(self._session, lease) if leases.is_from(lease, self._options.path) else None

    def _made(self, data: Mapping[str, Any]) -> Fetched:
        """Something new: whatever the path makes of what is sent."""
        asked_at = self._session.clock()
        answer, login = self._session.send("POST", self._options.path, data)
        return self._minted(answer, files.files_of(answer.fields(), self._options), login, asked_at)

    def _minted(self, answer: Answer, made: list[InlineFile], login: Login, asked_at: datetime) -> Fetched:
        lease = leases.lease_of(answer.body, login, asked_at)
        revision = leases.lease_revision(lease) if lease else files.content_revision(made)
        return Fetched(revision=revision, files=made, lease=lease, minted=True)

    def _read(self, held: Held | None) -> Fetched | Unchanged:
        fresh_for = timedelta(0) if held is None else held.fresh_for
        reading = self._session.reads.read(self._read_as, self._ask, fresh_for)
        fields, version = kv.contents(reading, self._options.version)
        if held is not None and version == held.revision:
            return Unchanged(as_of=reading.asked_at)
        if reading.is_leased:
            found = files.files_of(fields, self._options)
            return self._minted(reading.answer, found, reading.login, reading.asked_at)
        rotation = rotations.of(fields, self._options, reading.asked_at)
        found = files.files_of(rotation.fields, self._options)
        revision = version or files.content_revision(found)
        if held is not None and revision == held.revision:
            return Unchanged(as_of=reading.asked_at, changes_at=rotation.changes_at)
        return Fetched(revision=revision, files=found, as_of=reading.asked_at, changes_at=rotation.changes_at)

    def _ask(self) -> Reading:
        reading = kv.read(self._session, self._options.path, self._endpoint, self._options.version)
        self._endpoint = reading.endpoint
        if reading.answer.status >= 400:
            # The engine may have been replaced by one of another version: ask again next time.
            self._endpoint = None
            self._session.mounts.clear()
        if reading.answer.status != 404:
            reading.answer.required()
        return reading
