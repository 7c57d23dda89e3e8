"""What an app answered or a command wrote, fit for a log line."""

from collections.abc import Iterable

EXCERPT_LIMIT = 4096
"""Letters that are shown of what somebody says."""
READ_LIMIT = EXCERPT_LIMIT + 64 * 1024
"""Bytes that are read of it; the rest is left unread. More than are shown, or of a secret at the end of what is shown
the beginning would be: cut off, it isn't recognized."""
SHORTEST_SECRET = 6
"""Characters: a shorter value keeps nobody out, and taking it out would leave no sentence to read."""


def excerpt(said: bytes, *, secrets: Iterable[str] = ()) -> str:
    """One line of printable text: control characters and white space become single spaces, secrets are taken out."""
    text = said.decode(errors="replace")
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text[:EXCERPT_LIMIT]).split())
