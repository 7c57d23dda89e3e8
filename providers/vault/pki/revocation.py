"""Whether a certificate was revoked, as the engine says that issued it."""

import logging
import re
from collections.abc import Sequence

from cryptography import x509

from providers.vault.connection import Answer
from providers.vault.pki.paths import Engine
from providers.vault.session import Session

_SERIAL = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2})*")
_log = logging.getLogger(__name__)


def is_revoked(session: Session, engine: Engine, serial: str, issuers: Sequence[x509.Certificate]) -> bool:
    """Ask for the certificate, and if it isn't kept there (`no_store`) for the list of revoked ones.

    `issuers` are those known to have issued it; one of them must have signed the list, if any is known. Raises
    TransientError or PermanentError if there is no answer to rely on.
    """
    if not _SERIAL.fullmatch(serial):
        return False
    answer, _ = session.send("GET", f"{engine.mount}/cert/{serial.replace(':', '-')}")
    if answer.status == 404:
        return _is_listed(session, engine, int(serial.replace(":", ""), 16), issuers)
    revoked_at = answer.required().data.get("revocation_time")
    return isinstance(revoked_at, int) and revoked_at > 0


def _is_listed(session: Session, engine: Engine, serial: int, issuers: Sequence[x509.Certificate]) -> bool:
    path = f"{engine.mount}{engine.issuer}/crl" if engine.issuer else f"{engine.mount}/cert/crl"
    answer, _ = session.send("GET", path)
    found = None if answer.status == 404 else _list(answer.required())
    if found is None:
        return False
    if issuers and not any(_signed(found, issuer) for issuer in issuers):
        _log.debug("the revocation list at %s is not one of the certificate's issuer, and says nothing about it", path)
        return False
    return found.get_revoked_certificate_by_serial_number(serial) is not None


def _list(answer: Answer) -> x509.CertificateRevocationList | None:
    written = answer.data.get("crl") or answer.data.get("certificate")
    try:
        return x509.load_pem_x509_crl(written.encode()) if isinstance(written, str) else None
    except ValueError:
        return None


def _signed(found: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        return found.issuer == issuer.subject and found.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
