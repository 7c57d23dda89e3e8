"""From a leaf to an anchor: what cryptography's path validation says, with extension policies of our own.

The library's default policies refuse certificates that have only a common name, and its server verifier those that have
only a URI. Names are checked elsewhere, so here a leaf may have any, and the client verifier serves both sides: with
these policies it asks for no purpose of its own. What stays the library's: signatures, validity, basicConstraints, path
lengths, name constraints, critical extensions that nobody knows. It refuses the chains of Ed25519 issuers: `eddsa` has
those.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from refresher.errors import RejectedError
from refresher.verifiers import eddsa

SKEW = timedelta(minutes=5)
"""How far ahead of ours an issuer's clock may be (the allowance that RFC 4120 suggests)."""

ExtendedKeyUsageCheck = Callable[[Policy, x509.Certificate, x509.ExtendedKeyUsage | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """Certificates that are trusted as they are, and where they come from, for messages."""

    certificates: Sequence[x509.Certificate]
    origin: str


def chain(
    presented: Sequence[x509.Certificate],
    anchors: Anchors,
    *,
    now: datetime,
    purposes: frozenset[x509.ObjectIdentifier],
) -> list[x509.Certificate]:
    """The certificates from `presented[0]` to an anchor, over the others. Raises RejectedError if there is no way."""
    leaf, *others = presented
    builder = PolicyBuilder().store(Store(list(anchors.certificates)))
    moment = _moment([*presented, *anchors.certificates], now)
    builder = builder.time(moment)
    builder = builder.extension_policies(ca_policy=_issuers(purposes), ee_policy=ExtensionPolicy.permit_all())
    try:
        return builder.build_client_verifier().verify(leaf, others).chain
    except VerificationError as error:
        reason = _reason(error)
    for path, fault in eddsa.paths(
        presented, anchors.certificates, moment=moment, may_issue=lambda usage: permits(usage, purposes)
    ):
        if fault is None:
            return path
        reason = fault
    issuer = leaf.issuer.rfc4514_string()
    raise RejectedError(f"there is no chain from the leaf (issued by {issuer}) to {anchors.origin}: {reason}")


def permits(usage: x509.ExtendedKeyUsage | None, purposes: frozenset[x509.ObjectIdentifier]) -> bool:
    """Whether the extension allows all these purposes; without one, all are (RFC 5280, 4.2.1.12)."""
    return usage is None or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage or purposes <= set(usage)


def _moment(certificates: Sequence[x509.Certificate], now: datetime) -> datetime:
    """The moment to judge at: now, or as much later as it takes for those that begin within the skew."""
    starts = (certificate.not_valid_before_utc for certificate in certificates)
    return max([now, *(start for start in starts if start <= now + SKEW)])


def _issuers(purposes: frozenset[x509.ObjectIdentifier]) -> ExtensionPolicy:
    policy = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None)
    policy = policy.may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
    return policy.may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _may_issue_for(purposes))


def _may_sign(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("an issuer's key usage does not allow to sign certificates")


def _may_issue_for(purposes: frozenset[x509.ObjectIdentifier]) -> ExtendedKeyUsageCheck:
    def check(policy: Policy, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
        if not permits(usage, purposes):
            raise ValueError("an issuer's extended key usage does not allow the wanted purpose")

    return check


def _reason(error: VerificationError) -> str:
    said = str(error).removeprefix("validation failed: ").removeprefix("candidates exhausted: ")
    return (
        "no issuer of it is there"
        if said.startswith("all candidates exhausted")
        else said.partition(" (encountered")[0]
    )
