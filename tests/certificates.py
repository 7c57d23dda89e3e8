"""Certificates for tests: authorities that issue whatever a test asks for."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key_in(PrivateFormat.PKCS8)

    def key_in(self, form: PrivateFormat, *, password: bytes | None = None) -> bytes:
        encryption = BestAvailableEncryption(password) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, form, encryption)


@dataclass(frozen=True)
class Authority(Issued):
    """Issues leaves and further authorities."""

    @classmethod
    def root(
        cls,
        name: str = "test root",
        *,
        key: PrivateKey | None = None,
        since: datetime = NOON - DAY,
        until: datetime = NOON + 365 * DAY,
    ) -> "Authority":
        own = key or new_key()
        builder = _as_issuer(_builder(_name(name), own, since, until))
        return cls(_signed(builder.issuer_name(_name(name)), own), own)

    def intermediate(
        self,
        name: str = "test intermediate",
        *,
        since: datetime = NOON - DAY,
        until: datetime = NOON + 90 * DAY,
        ca: bool = True,
        may_sign: bool = True,
        usage: Sequence[x509.ObjectIdentifier] = (),
        key: PrivateKey | None = None,
        path_length: int | None = None,
        extension: x509.ExtensionType | None = None,
    ) -> "Authority":
        own = key or new_key()
        builder = _as_issuer(
            _builder(_name(name), own, since, until), ca=ca, may_sign=may_sign, path_length=path_length
        )
        if extension is not None:
            builder = builder.add_extension(extension, critical=True)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        return Authority(_signed(builder.issuer_name(self.certificate.subject), self.key), own)

    def issue(
        self,
        *names: str,
        common_name: str | None = None,
        key: PrivateKey | None = None,
        since: datetime = NOON - HOUR,
        until: datetime = NOON + DAY,
        usage: Sequence[x509.ObjectIdentifier] = (),
        extension: x509.ExtensionType | None = None,
    ) -> Issued:
        """A leaf for names, addresses and URIs; without any, it has only the common name."""
        own = key or new_key()
        builder = _builder(_name(common_name or (names[0] if names else "leaf")), own, since, until)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
            )
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        if extension is not None:
            builder = builder.add_extension(extension, critical=True)
        return Issued(_signed(builder.issuer_name(self.certificate.subject), self.key), own)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.UniformResourceIdentifier(name) if ":" in name else x509.DNSName(name)


def _builder(subject: x509.Name, key: PrivateKey, since: datetime, until: datetime) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(since).not_valid_after(until)


def _as_issuer(
    builder: x509.CertificateBuilder, *, ca: bool = True, may_sign: bool = True, path_length: int | None = None
) -> x509.CertificateBuilder:
    allowed = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    usage = x509.KeyUsage(digital_signature=True, key_cert_sign=may_sign, crl_sign=True, **allowed)
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    return builder.add_extension(usage, critical=True)


def _signed(builder: x509.CertificateBuilder, key: PrivateKey) -> x509.Certificate:
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
