"""The signature in a file: binary, base64, or one of cosign's two bundles.

A bundle is JSON with much beside the signature: the certificate, the entry in a public log. Only the signature is
taken, and checked with the key that is known here; what a bundle says of itself proves nothing to somebody who has the
key. Formats: Sigstore's `bundle.proto`, versions 0.1 to 0.3, and what `cosign sign-blob --bundle` wrote before it.
"""

import base64
import binascii
import json
from typing import Any

from refresher.errors import RejectedError

SIGNATURE_LIMIT = 256 * 1024
"""Bytes: an RSA signature of 16384 bits has 2048; a bundle adds some ten thousand for its log entry."""

SHA256 = "SHA2_256"
"""What a bundle calls the digest; keys on larger curves sign others."""


def signature_in(written: bytes, name: str) -> bytes:
    """The signature's own bytes. Raises RejectedError for a bundle without one that could be checked."""
    bundle = _json(written)
    if isinstance(bundle, dict):
        return _from_bundle(bundle, name)
    # Signatures that are binary are no valid base64.
    decoded = _decoded(b"".join(written.split()))
    return written if decoded is None else decoded


def _json(written: bytes) -> Any:
    """None for what isn't JSON: a binary signature may begin as it does."""
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        return None


def _from_bundle(bundle: dict[str, Any], name: str) -> bytes:
    signed = _part(bundle, "messageSignature")
    signature = _decoded(signed.get("signature") or bundle.get("base64Signature"))
    if not signature:
        raise RejectedError(f"{name} is a bundle without a signature of a file, as `cosign sign-blob` makes them")
    if _part(signed, "messageDigest").get("algorithm", SHA256) != SHA256:
        raise RejectedError(f"{name} signs another digest than SHA-256, the only one that is checked")
    return signature


def _part(whole: dict[str, Any], name: str) -> dict[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, dict) else {}


def _decoded(written: Any) -> bytes | None:
    try:
        return base64.b64decode(written, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return None
