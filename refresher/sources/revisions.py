"""The revision of several sources: one line of JSON that holds each one's own, so that a restart knows them, too."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

_MINTED = "minted"
_UNNAMED = "unnamed"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one source: its own revision (empty: it names none), and whether that was made anew."""

    revision: str
    minted: bool


def written(known: Mapping[str, Known]) -> str:
    """`{"db":"4","tls":{"minted":"3a:91"}}`."""
    return json.dumps({name: _written(each) for name, each in known.items()}, separators=(",", ":"))


def _written(known: Known) -> object:
    if known.minted:
        return {_MINTED: known.revision}
    # Equal revisions mean equal content, so that what was refused isn't asked for again: this one must equal no other.
    return known.revision or {_UNNAMED: secrets.token_hex(8)}


def read(revision: str) -> dict[str, Known]:
    """Each source's part of it; of anything that isn't one, nothing is known."""
    try:
        found = json.loads(revision)
    except (ValueError, RecursionError):
        return {}
    parts = found.items() if isinstance(found, dict) else ()
    return {name: known for name, part in parts if (known := _read(part)) is not None}


def _read(part: object) -> Known | None:
    match part:
        case str():
            return Known(part, minted=False)
        case {"minted": str(revision)}:
            return Known(revision, minted=True)
        case {"unnamed": str()}:
            return Known("", minted=False)
    return None
