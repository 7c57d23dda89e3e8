"""What an app does with a published certificate and its key: it reads the pair, and both have to belong together."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key


def whole_pair(directory: Path) -> x509.Certificate:
    """The certificate that a reader gets who resolves `..data` once. Raises OSError or ValueError for a bad pair."""
    data = (directory / "..data").resolve(strict=True)
    certificate = x509.load_pem_x509_certificate((data / "tls.crt").read_bytes())
    key = load_pem_private_key((data / "tls.key").read_bytes(), None)
    if not (directory / "tls.crt").read_bytes():
        raise ValueError("tls.crt is empty")
    raw = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*raw) != key.public_key().public_bytes(*raw):
        raise ValueError("the key is another certificate's")
    return certificate


def bad_pair(directory: Path) -> str | None:
    """What is wrong with the pair; None if all is well."""
    try:
        whole_pair(directory)
    except (OSError, ValueError) as error:
        return f"{directory}: {error}"
    return None
