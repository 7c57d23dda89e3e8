"""Paths over Ed25519 issuers, which cryptography's own validation refuses whoever trusts them.

RFC 5280, 6.1, as far as private authorities go, and strict about the rest: what isn't understood here (name
constraints, critical policies, …) is a fault. Only paths that have such an issuer come from here, so that this never
overrules the library where the library can judge.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtensionOID

MOST_BETWEEN = 8
"""Intermediates on a path, as many as the library follows."""

MOST_SIGNATURES = 100
"""Checked before giving up: certificates of one name that sign each other make paths without number."""

RSA_LEAST = 2048
"""Bits; with the hashes and curves what the library takes, too (CA/Browser Forum, baseline requirements, 6.1.5)."""

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,  # understood, and refused wherever they are
    }
)

Path = list[x509.Certificate]
Kind = TypeVar("Kind", bound=x509.ExtensionType)
MayIssue = Callable[[x509.ExtendedKeyUsage | None], bool]


def paths(
    presented: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    *,
    moment: datetime,
    may_issue: MayIssue,
) -> Iterator[tuple[Path, str | None]]:
    """Each path of right signatures from `presented[0]` to an anchor with an Ed25519 issuer on it, and its fault.

    None: it has none, at that moment. `may_issue` judges the extended key usage of an issuer.
    """
    leaf, *others = presented
    if not _is_needed([*others, *anchors]):
        return
    for path in _signed([leaf], others, anchors, iter(range(MOST_SIGNATURES))):
        if _is_needed(path[1:]):
            yield path, next(_faults(path, moment, may_issue), None)


def _is_needed(issuers: Sequence[x509.Certificate]) -> bool:
    return any(isinstance(issuer.public_key(), ed25519.Ed25519PublicKey) for issuer in issuers)


def _signed(
    path: Path, others: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], budget: Iterator[int]
) -> Iterator[Path]:
    for anchor in anchors:
        if _has_issued(anchor, path[-1], budget):
            yield [*path, anchor]
    for other in others if len(path) <= MOST_BETWEEN else ():
        if other not in path and _has_issued(other, path[-1], budget):
            yield from _signed([*path, other], others, anchors, budget)


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate, budget: Iterator[int]) -> bool:
    if issuer.subject != certificate.issuer or next(budget, None) is None:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True


def _faults(path: Path, moment: datetime, may_issue: MayIssue) -> Iterator[str]:
    for certificate in path:
        if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
            yield f"{_described(certificate)} is not valid at that time"
        unknown = [each.oid for each in certificate.extensions if each.critical and each.oid not in _UNDERSTOOD]
        if unknown:
            yield f"{_described(certificate)} has the critical extension {unknown[0].dotted_string}, unknown here"
        if _extension(certificate, x509.NameConstraints) is not None:
            yield f"{_described(certificate)} has name constraints, which are not checked over Ed25519 issuers"
    for certificate in path[:-1]:
        if not _is_strongly_signed(certificate):
            yield f"{_described(certificate)} is signed with a hash that is weak"
    for place, issuer in enumerate(path[1:], 1):
        below = sum(each.subject != each.issuer for each in path[1:place])
        yield from (f"{_described(issuer)} {fault}" for fault in _issuer_faults(issuer, below, may_issue))


def _issuer_faults(issuer: x509.Certificate, below: int, may_issue: MayIssue) -> Iterator[str]:
    constraints = _extension(issuer, x509.BasicConstraints)
    usage = _extension(issuer, x509.KeyUsage)
    if constraints is None or not constraints.ca:
        yield "is no authority"
    elif constraints.path_length is not None and constraints.path_length < below:
        yield "may not have so many authorities below it"
    if usage is not None and not usage.key_cert_sign:
        yield "has a key usage that does not allow to sign certificates"
    if not may_issue(_extension(issuer, x509.ExtendedKeyUsage)):
        yield "has an extended key usage that does not allow the wanted purpose"
    if not _has_strong_key(issuer):
        yield "has a key that is weak or of an unknown kind"


def _extension(certificate: x509.Certificate, kind: type[Kind]) -> Kind | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _is_strongly_signed(certificate: x509.Certificate) -> bool:
    used = certificate.signature_hash_algorithm  # None: Ed25519 brings its own
    return used is None or isinstance(used, _HASHES)


def _has_strong_key(issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size >= RSA_LEAST
    return isinstance(key, ed25519.Ed25519PublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)
    )


def _described(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"the certificate {certificate.serial_number:x}"
