"""Certificates and private keys out of PEM text (RFC 7468): any order, any line ends, anything between the blocks."""

import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from refresher.errors import RejectedError

PEM_LIMIT = 1024 * 1024
"""Bytes; the certificate bundle of a whole operating system has a quarter of that."""

_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"
_SUPERSEDED = re.compile(rb"^# superseded [^\r\n]*\r?\n-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----", re.M)
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def certificates(content: bytes, name: str) -> list[x509.Certificate]:
    """Every certificate of the file called `name`. Raises RejectedError if there is none, or a bad one."""
    found = [
        _certificate(block, f"{name}: certificate {number}") for number, block in _numbered_certificates(content, name)
    ]
    if not found:
        raise RejectedError(f"{name} holds no certificate in PEM form")
    return found


def in_use(content: bytes) -> bytes:
    """The content without the certificates below a line `# superseded …`: kept for others, and no longer an issuer.

    The `vault` provider writes that line (`ca_overlap`); whoever else does means the same.
    """
    return _SUPERSEDED.sub(b"", content)


def key_half(content: bytes, name: str) -> PublicKeyTypes:
    """The public half of the one private key in that file. Raises RejectedError, never with any of the content."""
    blocks = [(label, block) for label, block in _blocks(content, name) if label.endswith(b"PRIVATE KEY")]
    if len(blocks) != 1:
        raise RejectedError(
            f"{name} holds {len(blocks) or 'no'} private key{'s' if blocks else ''} in PEM form, and must hold one"
        )
    label, block = blocks[0]
    if label == b"ENCRYPTED PRIVATE KEY" or b"Proc-Type: 4,ENCRYPTED" in block:
        raise RejectedError(f"{name}: the private key is encrypted, and nobody has a password for it here")
    try:
        return load_pem_private_key(block, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        kind = type(error).__name__
    # Raised out here, without a cause: what a parser says about a private key may quote it.
    raise RejectedError(f"{name}: the private key can't be read ({kind})")


def _numbered_certificates(content: bytes, name: str) -> Iterator[tuple[int, bytes]]:
    blocks = _blocks(content, name)
    return enumerate((block for label, block in blocks if label in (b"CERTIFICATE", b"X509 CERTIFICATE")), 1)


def _blocks(content: bytes, name: str) -> Iterator[tuple[bytes, bytes]]:
    # Split instead of a regular expression: that would need quadratic time for a file of nothing but beginnings.
    for number, part in enumerate(content.split(_BEGIN)[1:], 1):
        label, _, rest = part.partition(_DASHES)
        body, ended, _ = rest.partition(_END + label + _DASHES)
        if not ended:
            raise RejectedError(f"{name}: PEM block {number} has no end, the file is cut off probably")
        yield label, _BEGIN + label + _DASHES + body + ended + b"\n"


def _certificate(block: bytes, described: str) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(block)
        # The library reads these two only when asked: a certificate that breaks off in them would fail later, as a bug.
        certificate.public_key()
        certificate.extensions  # noqa: B018
    except _UNREADABLE as error:
        raise RejectedError(f"{described} can't be read: {type(error).__name__}") from error
    return certificate
