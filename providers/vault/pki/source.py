"""A source of certificates: looked after while the one that is held is good, issued anew when it is due or revoked."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from providers.vault import leases
from providers.vault.files import content_revision
from providers.vault.options import VaultOptions
from providers.vault.pki import forms, keys, overlap, published
from providers.vault.pki.answer import Issued, issued
from providers.vault.pki.paths import Engine
from providers.vault.pki.request import names_of, signing_request
from providers.vault.pki.revocation import is_revoked
from providers.vault.session import Session
from refresher.contract import Fetched, FileSet, Held, InlineFile, Unchanged
from refresher.errors import PermanentError

_log = logging.getLogger(__name__)


class CertificateSource:
    """Certificates of one role. Raises ConfigError if the request for them can't be written."""

    def __init__(self, options: VaultOptions, session: Session) -> None:
        self._options, self._session = options, session
        self._data: Mapping[str, Any] = options.data or {}
        self._engine = Engine.of(options.path)
        self._names = names_of(self._data) if options.key == "local" else None

    @property
    def implied_verify(self) -> Sequence[Mapping[str, Any]]:
        """The certificate is checked under the names that its files have here."""
        files = self._options.files
        names = files.model_dump(include={"certificate", "key", "ca"}, exclude_defaults=True)
        return [{"certificate": names | ({"key": None} if "csr" in self._data else {})}]

    @property
    def path(self) -> str:
        """Where certificates are asked for."""
        return self._options.path if self._names is None else self._engine.signing

    def look(self, held: Held | None, visible: FileSet | None) -> Fetched | Unchanged:
        """Something new if it is due; `visible` is what readers see now. Raises TransientError or PermanentError."""
        if held is None or held.due:
            return self._issued(self._key_to_use(visible), visible)
        if not self._is_revoked(held.revision, visible):
            return Unchanged()
        _log.warning("certificate %s of %s was revoked: issuing another one", held.revision, self._options.path)
        # The key may be why it was revoked, so it isn't used again, whatever the options say.
        return self._issued(self._new_key(), visible)

    def _is_revoked(self, serial: str, visible: FileSet | None) -> bool:
        files = self._options.files
        issuers = published.certificates(visible, files.certificate, files.ca)
        return is_revoked(self._session, self._engine, serial, issuers)

    def _key_to_use(self, visible: FileSet | None) -> keys.PrivateKey | None:
        """The published key, if it is to be used again and fits; else a new one."""
        written = published.content(visible, self._options.files.key) if self._options.reuse_key else None
        key = keys.loaded(written) if written else None
        return key if key and keys.kind_of(key) == self._options.key_type else self._new_key()

    def _new_key(self) -> keys.PrivateKey | None:
        """A key of our own; None if the server makes it, or somebody else did."""
        return keys.new_key(self._options.key_type) if self._options.key == "local" else None

    def _issued(self, key: keys.PrivateKey | None, visible: FileSet | None) -> Fetched:
        forms.refuse_without_passwords(self._options.files)  # before there is a certificate that nobody could use
        asked_at = self._session.clock()
        answer, login = self._session.send("POST", *self._asked(key))
        fields = answer.fields()
        made = self._files(_with_key(issued(fields, self._options.path), key), visible, asked_at)
        revision = str(fields.get("serial_number") or content_revision(made))
        lease = leases.lease_of(answer.body, login, asked_at)
        return Fetched(revision=revision, files=made, lease=lease, minted=True)

    def _asked(self, key: keys.PrivateKey | None) -> tuple[str, Mapping[str, Any]]:
        """The path, and what is sent there."""
        if key is None or self._names is None:
            return self.path, self._data
        request = signing_request(self._names, key)
        return self.path, {**self._data, **self._names.parameters, "csr": request}

    def _files(self, parts: Issued, visible: FileSet | None, now: datetime) -> list[InlineFile]:
        files, kept_for = self._options.files, self._options.ca_overlap
        before = published.content(visible, files.ca) if kept_for else None
        trusted = overlap.authorities(parts.ca, before, overlap=kept_for, now=now)
        ca = overlap.written(trusted, overlap=kept_for)
        return forms.files_of(parts, [each.certificate for each in trusted], ca, files)


def _with_key(parts: Issued, key: keys.PrivateKey | None) -> Issued:
    """The answer with the key that was made here. Raises PermanentError if the certificate is for another one."""
    if key is None:
        return parts
    if parts.leaf.public_key() != key.public_key():
        raise PermanentError("the server signed another key than that of the request")
    return replace(parts, key=keys.written(key))
