"""What a PKI engine answers: a leaf, its issuers, perhaps its key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509

from refresher.errors import PermanentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate as it is served and trusted; `key` is its PEM, None if who asked for the certificate kept it."""

    leaf: x509.Certificate
    served: str
    intermediates: tuple[x509.Certificate, ...]
    ca: x509.Certificate
    key: bytes | None = field(repr=False)


def issued(data: Mapping[str, Any], path: str) -> Issued:
    """The answer's parts. Raises PermanentError if it is not a PEM certificate with its issuer."""
    leaf, key = _pem(data.get("certificate"), path), data.get("private_key")
    intermediates, top = _chain(data, path)
    return Issued(
        leaf=_certificate(leaf, path),
        served="".join((leaf, *intermediates)),
        intermediates=tuple(_certificate(each, path) for each in intermediates),
        ca=_certificate(top, path),
        key=(key.strip() + "\n").encode() if isinstance(key, str) and key else None,
    )


def _chain(data: Mapping[str, Any], path: str) -> tuple[list[str], str]:
    """The intermediates to serve, and the top, which clients may trust: a root never belongs into what is served."""
    given = data.get("ca_chain") or [data.get("issuing_ca")]
    chain = [_pem(each, path) for each in (given if isinstance(given, list) else [given])]
    intermediates = [each for each in chain if not _is_self_signed(each, path)]
    roots = [each for each in chain if each not in intermediates]
    return intermediates, (roots or chain)[-1]


def _pem(value: object, path: str) -> str:
    """One certificate and nothing else: what goes into `tls.crt` is readable for all."""
    text = value.strip() + "\n" if isinstance(value, str) else ""
    if not text.startswith("-----BEGIN CERTIFICATE-----") or text.count("-----BEGIN ") != 1:
        raise PermanentError(f"{path} answered no PEM certificate with its issuer (data.format has to be pem)")
    return text


def _is_self_signed(pem: str, path: str) -> bool:
    certificate = _certificate(pem, path)
    return certificate.subject == certificate.issuer


def _certificate(pem: str, path: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise PermanentError(f"{path} answered something that is no X.509 certificate") from None
