"""What every proof needs: a server, what its audit log says, what readers see, and a verdict at the end."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from refresher.demo.openbao import OpenBao
from tests.journeys.pki import Pki


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One certificate that the server made: asked for and answered when, for which name (hashed), good until when."""

    asked_at: datetime
    answered_at: datetime
    name: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table at the end: what was looked at, what was found, and whether it has to be so and is."""

    what: str
    found: object
    holds: bool | None = None


@contextmanager
def authority() -> Iterator[tuple[Path, Pki]]:
    """A directory, and an authority in a server of its own."""
    with tempfile.TemporaryDirectory(prefix="refresher-soak-") as root:
        directory = Path(root)
        (directory / "bao").mkdir()
        with OpenBao.started(directory / "bao") as bao:
            yield directory, Pki(bao, directory)


def now() -> datetime:
    return datetime.now(UTC)


def asked(pki: Pki) -> list[datetime]:
    """When certificates were asked for, by the server's audit log; oldest first."""
    return sorted(_moment(entry) for entry in _entries(pki) if entry["type"] == "request")


def issued(pki: Pki) -> list[Issued]:
    """The certificates that the server made, by its audit log; oldest first."""
    requests, made = {}, []
    for entry in _entries(pki):
        if entry["type"] == "request":
            requests[entry["request"]["id"]] = _moment(entry)
        elif "error" not in entry:
            made.append(
                Issued(
                    asked_at=requests[entry["request"]["id"]],
                    answered_at=_moment(entry),
                    name=entry["request"]["data"]["common_name"],
                    expires_at=datetime.fromtimestamp(entry["response"]["data"]["expiration"], UTC),
                )
            )
    return sorted(made, key=lambda each: each.asked_at)


def _entries(pki: Pki) -> Iterator[dict]:
    for entry in pki.bao.audited():
        if entry["request"]["path"].startswith(f"{pki.mount}/issue/"):
            yield entry


def _moment(entry: dict) -> datetime:
    return datetime.fromisoformat(entry["time"])


def say(text: str) -> None:
    """A line on the way."""
    print(f"{now():%H:%M:%S} {text}", flush=True)


def conclude(title: str, lines: Sequence[Line]) -> None:
    """Print the table, and end the program: with 1 if something doesn't hold."""
    width = max(len(line.what) for line in lines)
    print(f"\n{title}")
    for line in lines:
        verdict = {None: "", True: "holds", False: "DOESN'T HOLD"}[line.holds]
        print(f"  {line.what:<{width}}  {line.found!s:<24} {verdict}".rstrip())
    sys.exit(any(line.holds is False for line in lines))
