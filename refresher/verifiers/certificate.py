"""A certificate, its key and its chain: whole, belonging together, valid, for the right names, from trusted roots."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import BaseModel, ConfigDict

from refresher.contract import Candidate, FileSet, Finding
from refresher.errors import PermanentError, RejectedError
from refresher.options import Duration, LocalFile, write_duration
from refresher.verifiers.chain import SKEW, Anchors, chain, permits
from refresher.verifiers.content import content, listed
from refresher.verifiers.names import missing, names_of
from refresher.verifiers.pem import PEM_LIMIT, certificates, in_use, key_half

Usage = Literal["any", "server", "client", "both"]
KeyKind = Literal["rsa-2048", "rsa-3072", "rsa-4096", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "ed448"]

_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
PURPOSES: dict[Usage, frozenset[x509.ObjectIdentifier]] = {
    "any": frozenset(),
    "server": frozenset({_SERVER}),
    "client": frozenset({_CLIENT}),
    "both": frozenset({_SERVER, _CLIENT}),
}
_CURVES = {"secp256r1": "p256", "secp384r1": "p384", "secp521r1": "p521"}


class CertificateOptions(BaseModel):
    """What to check.

    `certificate` holds the leaf and its intermediates, `key` its private key (null: there is none), `ca` the issuers
    that came with it, if any did. `trust` names PEM roots from elsewhere, read at each check; without it the chain need
    only lead to `ca` (or, if that is missing too, to one of the intermediates), which proves no more than that the
    answer is consistent. `names` are DNS names (`*.example.com` means that very wildcard), IP addresses and URIs; the
    certificate must be for all of them. `usage: any` asks for no purpose. `keys`, if given, are the kinds allowed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: str = "tls.crt"
    key: str | None = "tls.key"
    ca: str = "ca.crt"
    names: tuple[str, ...] = ()
    trust: LocalFile | None = None
    min_remaining: Duration = timedelta(0)
    usage: Usage = "any"
    keys: tuple[KeyKind, ...] = ()

    @property
    def needs(self) -> Mapping[str, str]:
        """The files without which it can only refuse, by option."""
        return {"certificate": self.certificate} | ({"key": self.key} if self.key is not None else {})


class CertificateVerifier:
    """Accepts what a TLS server or client can load and its peers will accept. Finds from when to when it's valid."""

    Options = CertificateOptions

    def __init__(self, options: CertificateOptions) -> None:
        self._options = options

    def verify(self, candidate: Candidate) -> Finding:
        """Raises RejectedError with the file and the reason; PermanentError if `trust` can't be read."""
        presented = self._presented(candidate)
        leaf = presented[0]
        self._refuse_invalid_now(leaf, candidate.now)
        self._refuse_wrong_use(leaf)
        self._refuse_wrong_names(leaf)
        used = self._chain(candidate, presented)
        expires_at = min(certificate.not_valid_after_utc for certificate in used if certificate in presented)
        self._refuse_short(expires_at, candidate.now)
        self._refuse_older(leaf, candidate)
        return Finding(valid_from=leaf.not_valid_before_utc, expires_at=expires_at)

    def _presented(self, candidate: Candidate) -> list[x509.Certificate]:
        """The leaf, then the others."""
        name, key = self._options.certificate, self._options.key
        found = certificates(content(candidate, name, limit=PEM_LIMIT), name)
        if key is None:
            leaf = _end_of_chain(found)
        else:
            half = key_half(content(candidate, key, limit=PEM_LIMIT), key)
            leaf = self._owner(found, half)
        return [leaf, *(certificate for certificate in found if certificate != leaf)]

    def _owner(self, found: Sequence[x509.Certificate], half: PublicKeyTypes) -> x509.Certificate:
        for certificate in found:
            if certificate.public_key() == half:
                return certificate
        raise RejectedError(
            f"{self._options.key} is not the key of {self._options.certificate}: they don't belong together"
        )

    def _refuse_invalid_now(self, leaf: x509.Certificate, now: datetime) -> None:
        name = self._options.certificate
        if leaf.not_valid_after_utc <= now:
            raise RejectedError(f"{name} expired at {leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")
        if leaf.not_valid_before_utc > now + SKEW:
            raise RejectedError(f"{name} is not valid before {leaf.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}")

    def _refuse_wrong_use(self, leaf: x509.Certificate) -> None:
        name, wanted = self._options.certificate, self._options.usage
        if not permits(_extended_key_usage(leaf), PURPOSES[wanted]):
            raise RejectedError(f"{name}: its extended key usage does not allow the usage {wanted}")
        kind = _kind(leaf.public_key())
        if self._options.keys and kind not in self._options.keys:
            raise RejectedError(f"{name}: its key is {kind}, and allowed are {', '.join(self._options.keys)}")

    def _refuse_wrong_names(self, leaf: x509.Certificate) -> None:
        lacking = missing(leaf, self._options.names)
        if lacking:
            covered = listed(names_of(leaf)) or "no names"
            raise RejectedError(f"{self._options.certificate} is not for {listed(lacking)}; it is for {covered}")

    def _chain(self, candidate: Candidate, presented: Sequence[x509.Certificate]) -> Sequence[x509.Certificate]:
        anchors = self._anchors(candidate, presented)
        if not anchors.certificates:
            return presented
        try:
            return chain(presented, anchors, now=candidate.now, purposes=PURPOSES[self._options.usage])
        except RejectedError as error:
            raise RejectedError(f"{self._options.certificate}: {error}") from error

    def _anchors(self, candidate: Candidate, presented: Sequence[x509.Certificate]) -> Anchors:
        trust = self._options.trust
        issuers = self._issuers(candidate)
        if trust is not None:
            return Anchors(certificates=trusted(trust), origin=f"the trusted roots in {trust}")
        if issuers:
            return Anchors(certificates=issuers, origin=self._options.ca)
        return Anchors(certificates=presented[1:], origin="an intermediate that came with it")

    def _issuers(self, candidate: Candidate) -> list[x509.Certificate]:
        """Those that came with it; what a rotation superseded is only kept for peers, and may not have issued this."""
        name = self._options.ca
        if name not in candidate.files:
            return []
        found = content(candidate, name, limit=PEM_LIMIT)
        certificates(found, name)  # all of them have to be readable
        return certificates(in_use(found), name)

    def _refuse_short(self, expires_at: datetime, now: datetime) -> None:
        if expires_at - now < self._options.min_remaining:
            name, least = self._options.certificate, self._options.min_remaining
            raise RejectedError(
                f"{name} or an intermediate ends at {expires_at:%Y-%m-%dT%H:%M:%SZ}, "
                f"in less than {write_duration(least)} (min_remaining)"
            )

    def _refuse_older(self, leaf: x509.Certificate, candidate: Candidate) -> None:
        """Only against one for the same subject and names: a source that was changed may well have an older one."""
        published = self._published_leaf(candidate.published)
        if published is None or _identity(published) != _identity(leaf):
            return
        if (
            leaf.not_valid_before_utc < published.not_valid_before_utc
            and leaf.not_valid_after_utc < published.not_valid_after_utc
        ):
            name = self._options.certificate
            raise RejectedError(
                f"{name} is older than the published one, which began later, ends later and is still valid"
            )

    def _published_leaf(self, published: FileSet | None) -> x509.Certificate | None:
        name = self._options.certificate
        if published is None:
            return None
        try:
            return _end_of_chain(certificates(content(published, name, limit=PEM_LIMIT), name))
        except RejectedError:
            return None  # what is published is no certificate, so there is nothing to be older than


def trusted(trust: LocalFile) -> list[x509.Certificate]:
    """The roots that a local file holds. Raises PermanentError if it can't be read or holds something else."""
    try:
        return certificates(trust.read(limit=PEM_LIMIT), str(trust))
    except RejectedError as error:
        raise PermanentError(f"trust: {error}") from error


def _end_of_chain(found: Sequence[x509.Certificate]) -> x509.Certificate:
    """The first that issued none of the others; in a circle, simply the first."""
    issuers = [certificate.issuer for certificate in found if certificate.issuer != certificate.subject]
    return next((certificate for certificate in found if certificate.subject not in issuers), found[0])


def _identity(certificate: x509.Certificate) -> tuple[x509.Name, frozenset[str]]:
    return certificate.subject, frozenset(names_of(certificate))


def _extended_key_usage(certificate: x509.Certificate) -> x509.ExtendedKeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None


def _kind(key: CertificatePublicKeyTypes) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ecdsa-{_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    return "ed448" if isinstance(key, ed448.Ed448PublicKey) else type(key).__name__
