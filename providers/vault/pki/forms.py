"""Files made of a certificate, its key and its authorities: PEM for most, PKCS#12 for Java and Windows."""

from collections.abc import Iterator, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import KeySerializationEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PBES,
    PKCS12Certificate,
    serialize_java_truststore,
    serialize_key_and_certificates,
)

from providers.vault.pki.answer import Issued
from providers.vault.pki.keys import PrivateKey, loaded
from providers.vault.pki.options import Files, Pkcs12, Truststore
from refresher.contract import InlineFile
from refresher.errors import PermanentError
from refresher.options import Secret


def refuse_without_passwords(files: Files) -> None:
    """Raises PermanentError if a password is missing that one of the files needs."""
    for store in (files.pkcs12, files.truststore):
        if store is not None:
            store.password.read()


def files_of(issued: Issued, trusted: Sequence[x509.Certificate], ca: bytes, files: Files) -> list[InlineFile]:
    """The files that the options ask for; `ca` is `trusted` as it was written.

    Raises PermanentError if a password is missing, or a file needs a key that isn't there.
    """
    made = [
        InlineFile(files.ca, ca, sensitive=False),
        InlineFile(files.certificate, issued.served.encode(), sensitive=False),
    ]
    if issued.key is not None:
        made += [InlineFile(files.key, issued.key), *_with_key(issued, issued.key, files)]
    if files.truststore is not None:
        made.append(InlineFile(files.truststore.file, _truststore(files.truststore, trusted), sensitive=False))
    return made


def _with_key(issued: Issued, key: bytes, files: Files) -> Iterator[InlineFile]:
    if files.bundle is not None:
        yield InlineFile(files.bundle, key + issued.served.encode())
    if files.pkcs12 is not None:
        yield InlineFile(files.pkcs12.file, _pkcs12(files.pkcs12, issued, key))


def _pkcs12(store: Pkcs12, issued: Issued, key: bytes) -> bytes:
    name = store.name or next(_common_names(issued.leaf), None)
    encryption = _old(store.password) if store.legacy else _strong(store.password)
    return serialize_key_and_certificates(
        name.encode() if name else None, _private(key), issued.leaf, issued.intermediates, encryption
    )


def _truststore(store: Truststore, trusted: Sequence[x509.Certificate]) -> bytes:
    # Java keeps one entry a name, so each needs one of its own: two authorities of one common name are a rotation.
    entries = [PKCS12Certificate(each, f"{_title(each)} {each.serial_number:x}".encode()) for each in trusted]
    return serialize_java_truststore(entries, _strong(store.password))


def _title(certificate: x509.Certificate) -> str:
    return next(_common_names(certificate), "authority")


def _common_names(certificate: x509.Certificate) -> Iterator[str]:
    for attribute in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
        if isinstance(attribute.value, str):
            yield attribute.value


def _private(pem: bytes) -> PrivateKey:
    key = loaded(pem)
    if key is None:
        raise PermanentError("pkcs12: the private key that came with the certificate can't be read")
    return key


def _strong(password: Secret) -> KeySerializationEncryption:
    """AES-256 with PBKDF2 and SHA-256, as OpenSSL 3 and Java 8u301 and later write it themselves."""
    builder = PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
    return builder.hmac_hash(hashes.SHA256()).build(password.read().encode())


def _old(password: Secret) -> KeySerializationEncryption:
    """3DES with SHA-1, for what reads nothing newer: weak, so the file's mode has to protect the key."""
    builder = PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
    return builder.hmac_hash(hashes.SHA1()).build(password.read().encode())  # noqa: S303
