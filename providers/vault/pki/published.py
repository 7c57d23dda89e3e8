"""What readers see now, read back: the app may write into the volume, so only what still has its digest is believed."""

import logging
from hashlib import sha256

from cryptography import x509

from refresher.contract import FileSet

LIMIT = 1024 * 1024
"""Bytes; a key has at most 4 KiB, and the certificate bundle of a whole operating system a quarter of that."""

_log = logging.getLogger(__name__)


def content(published: FileSet | None, name: str) -> bytes | None:
    """The published file; None if it isn't there, is too large, can't be read or isn't what was published."""
    facts = published.files.get(name) if published is not None else None
    if published is None or facts is None or facts.size > LIMIT:
        return None
    try:
        with published.open(name) as file:
            found = file.read(LIMIT + 1)
    except OSError:
        return None
    if f"sha256:{sha256(found).hexdigest()}" != facts.digest:
        _log.warning("the published %s was changed by somebody else: nothing is built on it", name)
        return None
    return found


def certificates(published: FileSet | None, *names: str) -> list[x509.Certificate]:
    """All certificates of these files."""
    found = []
    for name in names:
        try:
            found += x509.load_pem_x509_certificates(content(published, name) or b"")
        except ValueError:
            continue
    return found
