"""A key of the customer's (SSE-C): read from its secret, and sent with each request for an object that it encrypts."""

import base64
import binascii
import hashlib

from refresher.errors import PermanentError
from refresher.options import Secret

CUSTOMER_KEY = 32
"""Bytes of an AES-256 key, the only kind that SSE-C knows."""


def customer_key(reference: Secret) -> bytes:
    """The key's 32 bytes, written as they are or in base64. Raises PermanentError, without the key in it."""
    key = _raw(reference) or _decoded(reference.read())
    if len(key) != CUSTOMER_KEY:
        raise PermanentError(f"the key in {reference} must be {CUSTOMER_KEY} bytes, as they are or in base64")
    return key


def _raw(reference: Secret) -> bytes:
    """The content of a file that has a key's size, else nothing: random bytes are no text that `Secret` could read."""
    if reference.file is None:
        return b""
    try:
        with reference.file.open("rb") as file:
            content = file.read(CUSTOMER_KEY + 1)
    except OSError:
        return b""
    return content if len(content) == CUSTOMER_KEY else b""


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text.encode()


def customer_headers(key: bytes) -> dict[str, str]:
    """What a request for an object that is encrypted with this key has to say (S3 API, SSE-C)."""
    prefix = "x-amz-server-side-encryption-customer-"
    fingerprint = hashlib.md5(key, usedforsecurity=False).digest()
    return {
        f"{prefix}algorithm": "AES256",
        f"{prefix}key": base64.b64encode(key).decode(),
        f"{prefix}key-MD5": base64.b64encode(fingerprint).decode(),
    }
