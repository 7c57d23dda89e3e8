"""What an app answered or a command wrote, fit for a log line."""

from collections.abc import Iterable

EXCERPT_LIMIT = 4096
"""Bytes that are read of what somebody says; the rest is left unread."""


def excerpt(said: bytes, *, secrets: Iterable[str] = ()) -> str:
    """One line of printable text: control characters and white space become single spaces, secrets are taken out."""
    text = said[:EXCERPT_LIMIT].decode(errors="replace")
    for secret in secrets:
        text = text.replace(secret, "***")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
