"""Verifying: the only door from a candidate to something that may be published.

First the guards that are always on, then the configured verifiers in their order. (Promised sizes and digests, limits
and names were held while staging.)
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import PurePosixPath

from refresher.contract import Finding
from refresher.errors import RejectedError
from refresher.model import Candidate, NamedVerifier, Verified

HTML_NAMES = frozenset(
    {".htm", ".html", ".shtml", ".xhtml", ".j2", ".jinja", ".tmpl", ".tpl", ".gotmpl", ".mustache", ".md"}
)
"""Endings under which an HTML page, or a template of one, is expected."""
_HTML = (b"<!doctype html", b"<html")
_SNIFFED = 512


def verify(candidate: Candidate, verifiers: Sequence[NamedVerifier]) -> Verified:
    """Accept the candidate, or raise RejectedError with the verifier's name and its reason."""
    _refuse_emptied(candidate)
    _refuse_html(candidate)
    findings = [_judge(candidate, named) for named in verifiers]
    return Verified(
        candidate=candidate,
        valid_from=_latest(finding.valid_from for finding in findings),
        expires_at=_earliest(finding.expires_at for finding in findings),
    )


def _judge(candidate: Candidate, named: NamedVerifier) -> Finding:
    try:
        return named.verifier.verify(candidate)
    except RejectedError as error:
        raise RejectedError(f"{named.name}: {error}") from error


def _refuse_emptied(candidate: Candidate) -> None:
    before = candidate.published.files if candidate.published else {}
    for name, file in candidate.files.items():
        if file.size == 0 and name in before and before[name].size > 0:
            raise RejectedError(f"{name} is empty now, and nothing empty replaces something")


def _refuse_html(candidate: Candidate) -> None:
    for name in candidate.files:
        if PurePosixPath(name).suffix.lower() in HTML_NAMES:
            continue
        with candidate.open(name) as file:
            start = file.read(_SNIFFED).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if start.startswith(_HTML):
            raise RejectedError(f"{name} is an HTML page, an error or a login page probably")


def _latest(moments: Iterable[datetime | None]) -> datetime | None:
    return max((moment for moment in moments if moment), default=None)


def _earliest(moments: Iterable[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment), default=None)
