"""Private keys that are made here, and those that were and are used again."""

from collections.abc import Callable, Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from providers.vault.pki.options import KeyKind

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

PUBLIC_EXPONENT = 65537
"""The one that FIPS 186-5 and every library allow."""

_NEW: Mapping[KeyKind, Callable[[], PrivateKey]] = {
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa-2048": lambda: rsa.generate_private_key(PUBLIC_EXPONENT, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(PUBLIC_EXPONENT, 3072),
    "rsa-4096": lambda: rsa.generate_private_key(PUBLIC_EXPONENT, 4096),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}
_CURVES = {"secp256r1": "ecdsa-p256", "secp384r1": "ecdsa-p384"}


def new_key(kind: KeyKind) -> PrivateKey:
    """A new key. RSA takes a moment: about half a second of CPU for 4096 bits."""
    return _NEW[kind]()


def loaded(pem: bytes) -> PrivateKey | None:
    """The private key in PEM form; None if it is none. Nothing of it is ever part of an error."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, PrivateKey) else None


def kind_of(key: PrivateKey) -> str:
    """Its `KeyKind`; another text for a key that this provider doesn't make."""
    if isinstance(key, rsa.RSAPrivateKey):
        return f"rsa-{key.key_size}"
    return _CURVES.get(key.curve.name, key.curve.name) if isinstance(key, ec.EllipticCurvePrivateKey) else "ed25519"


def written(key: PrivateKey) -> bytes:
    """The key as PEM in PKCS#8 form, without encryption."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signing_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """What the key signs with: a hash as strong as its curve; Ed25519 brings its own."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    return hashes.SHA384() if kind_of(key) == "ecdsa-p384" else hashes.SHA256()
