"""The `vault` provider: one look at one path of Vault or OpenBao."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from providers.vault import files, kv, leases, pki
from providers.vault.connection import Answer
from providers.vault.login import Login
from providers.vault.options import VaultOptions, options_from_url
from providers.vault.reach import reach
from providers.vault.session import Sessions
from refresher.contract import Fetched, Held, InlineFile, Unchanged
from refresher.errors import PermanentError


def _now() -> datetime:
    return datetime.now(UTC)


class Shared(Sessions):
    """The connections and logins of this process; the time is the machine's."""

    def __init__(self) -> None:
        super().__init__(_now)


class VaultProvider:
    """Reads a path (key-value, dynamic credentials, any other), or writes to it if there are `data` (PKI, SSH, …).

    Raises ConfigError if it isn't told where the server is.
    """

    Options: ClassVar[type[VaultOptions]] = VaultOptions
    Shared: ClassVar[type[Shared]] = Shared

    def __init__(self, options: VaultOptions, shared: Sessions) -> None:
        self._options = options
        self._session = shared.of(reach(options))
        self._place: kv.Place | None = None

    @staticmethod
    def from_url(url: str) -> Mapping[str, Any]:
        """`vault://PATH[?name=value…][#field]`. Raises ValueError."""
        return options_from_url(url)

    @property
    def implied_verify(self) -> Sequence[Mapping[str, Any]]:
        """A certificate is checked even if nobody asks for it."""
        return [{"certificate": {}}] if pki.asks_for_certificate(self._options) else []

    @property
    def watched(self) -> Sequence[Path]:
        """Where the user keeps a token fresh: with a new one there, what failed for want of it succeeds at once."""
        file = self._options.token_file
        return [file.parent] if file else []

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        """Ask Vault. Raises TransientError or PermanentError."""
        yield self._look(held)

    def _look(self, held: Held | None) -> Fetched | Unchanged:
        if held is not None and held.lease is not None:
            renewed = leases.renewed(self._session, held.lease)
            if renewed is not None:
                return Unchanged(lease=renewed)
        return self._read(held) if self._options.data is None else self._made(self._options.data)

    def _made(self, data: Mapping[str, Any]) -> Fetched:
        """Something new: a certificate, or whatever else the path makes of what is sent."""
        asked_at = self._session.clock()
        answer, login = self._session.send("POST", self._options.path, data)
        fields = answer.required().data
        if not fields:
            raise PermanentError(f"{answer.request} answered no fields")
        if not pki.asks_for_certificate(self._options):
            return self._minted(answer, files.files_of(fields, self._options), login, asked_at)
        made = pki.files_of(fields, self._options.path)
        revision = str(fields.get("serial_number") or files.content_revision(made))
        lease = leases.lease_of(answer.body, login, asked_at)
        return Fetched(revision=revision, files=made, lease=lease, minted=True)

    def _minted(self, answer: Answer, made: list[InlineFile], login: Login, asked_at: datetime) -> Fetched:
        lease = leases.lease_of(answer.body, login, asked_at)
        revision = leases.lease_revision(lease) if lease else files.content_revision(made)
        return Fetched(revision=revision, files=made, lease=lease, minted=True)

    def _read(self, held: Held | None) -> Fetched | Unchanged:
        self._place = place = self._place or kv.locate(self._session, self._options.path)
        asked_at = self._session.clock()
        answer, login = self._session.send("GET", place.path)
        if answer.status >= 400:
            # The engine may have been replaced by one of another version: ask again next time.
            self._place = None
            self._session.mounts.clear()
        fields, version = kv.contents(answer, place)
        if held is not None and version == held.revision:
            return Unchanged()
        found = files.files_of(fields, self._options)
        if answer.body.get("lease_id"):
            return self._minted(answer, found, login, asked_at)
        revision = version or files.content_revision(found)
        if held is not None and revision == held.revision:
            return Unchanged()
        return Fetched(revision=revision, files=found)
