"""A file is signed with the private half of a public key that is known here.

As `cosign sign-blob --key`, `openssl dgst -sha256 -sign` and `openssl pkeyutl -sign -rawin` sign: ECDSA and RSA over
the file's SHA-256, which is known already, and Ed25519 over the file itself.
"""

from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, ConfigDict

from refresher.contract import Candidate, Finding
from refresher.errors import PermanentError, RejectedError
from refresher.options import LocalFile
from refresher.verifiers.content import content, require
from refresher.verifiers.signed import SIGNATURE_LIMIT, signature_in

WHOLE_FILE_LIMIT = 64 * 1024 * 1024
"""Bytes of a file that is signed with Ed25519, which can't be checked from a digest and so is read into memory."""

PUBLIC_KEY_LIMIT = 64 * 1024

_SHA256 = hashes.SHA256()
_PREHASHED = utils.Prehashed(_SHA256)
_PADDINGS = (padding.PKCS1v15(), padding.PSS(padding.MGF1(_SHA256), padding.PSS.AUTO))

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class SignatureOptions(BaseModel):
    """`signature` signs `file`, both in the candidate, with the PEM key in `public_key`, which is read at each check.

    The signature may be base64, binary, or a bundle of cosign's. Best signed is the list of digests: `checksums` then
    checks the rest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    signature: str
    public_key: LocalFile

    @property
    def needs(self) -> Mapping[str, str]:
        """The files without which it can only refuse, by option."""
        return {"file": self.file, "signature": self.signature}


class SignatureVerifier:
    """Accepts a candidate whose file was signed by the owner of the key. Ed25519, ECDSA and RSA, with SHA-256."""

    Options = SignatureOptions

    def __init__(self, options: SignatureOptions) -> None:
        self._options = options

    def verify(self, candidate: Candidate) -> Finding:
        """Raises RejectedError if the signature is missing or wrong; PermanentError if the key can't be read."""
        key = _public_key(self._options.public_key)
        require(candidate, self._options.file)
        name, signed_by = self._options.file, self._options.signature
        signature = signature_in(content(candidate, signed_by, limit=SIGNATURE_LIMIT), signed_by)
        if not self._signed(candidate, signature, key):
            raise RejectedError(f"{signed_by} is not a signature of {name} by the key {self._options.public_key}")
        return Finding()

    def _signed(self, candidate: Candidate, signature: bytes, key: PublicKey) -> bool:
        if isinstance(key, ed25519.Ed25519PublicKey):
            return _signed_by_ed25519(key, signature, self._whole(candidate))
        digest = bytes.fromhex(candidate.files[self._options.file].digest.removeprefix("sha256:"))
        if isinstance(key, rsa.RSAPublicKey):
            return _signed_by_rsa(key, signature, digest)
        return _signed_by_ecdsa(key, signature, digest)

    def _whole(self, candidate: Candidate) -> bytes:
        name = self._options.file
        if candidate.files[name].size > WHOLE_FILE_LIMIT:
            size = candidate.files[name].size
            raise RejectedError(f"{name} has {size} bytes, too many for Ed25519: sign the list of digests instead")
        return content(candidate, name, limit=WHOLE_FILE_LIMIT)


def _public_key(reference: LocalFile) -> PublicKey:
    try:
        key = load_pem_public_key(reference.read(limit=PUBLIC_KEY_LIMIT))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PermanentError(f"public_key: {reference} is not a public key in PEM form") from error
    if not isinstance(key, PublicKey):
        raise PermanentError(f"public_key: {reference} is neither an Ed25519, an EC nor an RSA key")
    return key


def _signed_by_ed25519(key: ed25519.Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _signed_by_ecdsa(key: ec.EllipticCurvePublicKey, signature: bytes, digest: bytes) -> bool:
    try:
        key.verify(signature, digest, ec.ECDSA(_PREHASHED))
    except InvalidSignature:
        return False
    return True


def _signed_by_rsa(key: rsa.RSAPublicKey, signature: bytes, digest: bytes) -> bool:
    for scheme in _PADDINGS:
        try:
            key.verify(signature, digest, scheme, _PREHASHED)
        except InvalidSignature:
            continue
        return True
    return False
