"""How old a list of digests says that it is, in a comment that is signed with it.

One line, `# version: 17` or `# date: 2026-11-26T10:00:00Z` (RFC 3339). `sha256sum -c` passes over comments.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from refresher.errors import RejectedError

_STATED = re.compile(r"#[ \t]*(?P<kind>version|date)[ \t]*:[ \t]*(?P<value>.*)", re.IGNORECASE)
_VERSION = re.compile(r"[0-9]{1,18}")
_DATE = re.compile(r"[0-9]{4}(?:-[0-9]{2}){2}T[0-9]{2}(?::[0-9]{2}){2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HOW = "`# version: 17` or `# date: 2026-11-26T10:00:00Z`"


@dataclass(frozen=True, slots=True)
class Age:
    """What a list says of its age; ages of two kinds can't be compared."""

    kind: str
    value: str
    order: int
    """What ages of one kind are compared by."""

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


def age(content: str, name: str) -> Age:
    """The age that the list states. Raises RejectedError if it states none, several, or one that can't be read."""
    stated = [match for line in content.split("\n") if (match := _STATED.fullmatch(line))]
    # Of two lines each reader could believe the one that suits it.
    if len(stated) != 1:
        raise RejectedError(f"{name} has to say once how old it is, as {HOW}, and does so {len(stated)} times")
    kind, value = stated[0]["kind"].lower(), stated[0]["value"].strip()
    order = _version(value) if kind == "version" else _date(value)
    if order is None:
        raise RejectedError(f"{name} says how old it is in a way that can't be read: it has to be {HOW}")
    return Age(kind, value, order)


def refuse_unless_newer(stated: Age, before: Age, name: str) -> None:
    """Raises RejectedError if the list, of other content, isn't newer than the one before, or can't be compared."""
    # An old list of the other kind would be a way around all newer ones.
    if stated.kind != before.kind:
        raise RejectedError(f"{name} has a {stated.kind} and the published one a {before.kind}: they can't be compared")
    if stated.order < before.order:
        raise RejectedError(f"{name} is older than what is published: {stated}, after {before}")
    if stated.order == before.order:
        raise RejectedError(f"{name} has the {stated}, as what is published, and other content")


def _version(value: str) -> int | None:
    return int(value) if _VERSION.fullmatch(value) else None


def _date(value: str) -> int | None:
    """Microseconds since 1970."""
    if not _DATE.fullmatch(value):
        return None
    try:
        return (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1)
    except ValueError:
        return None
