"""Verifying: the only door from a candidate to something that may be published.

First the guards that are always on, then the configured verifiers in their order. (Promised sizes and digests, limits
and names were held while staging.)
"""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from refresher.contract import Candidate as Judged
from refresher.contract import FileSet, Finding
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
    refuse_html(candidate)
    findings = [candidate.fetched.finding, *(judge(candidate, named) for named in verifiers)]
    found = together(findings)
    return Verified(candidate=candidate, valid_from=found.valid_from, expires_at=found.expires_at)


def judge(candidate: Judged, named: NamedVerifier) -> Finding:
    """What one verifier finds. Raises RejectedError with its name and its reason."""
    try:
        return named.verifier.verify(candidate)
    except RejectedError as error:
        raise RejectedError(f"{named.name}: {error}") from error


def _refuse_emptied(candidate: Candidate) -> None:
    before = candidate.published.files if candidate.published else {}
    for name, file in candidate.files.items():
        if file.size == 0 and name in before and before[name].size > 0:
            raise RejectedError(f"{name} is empty now, and nothing empty replaces something")


def refuse_html(files: FileSet) -> None:
    """Raise RejectedError for a page where none is expected."""
    for name in files.files:
        if PurePosixPath(name).suffix.lower() in HTML_NAMES:
            continue
        with files.open(name) as file:
            start = file.read(_SNIFFED).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if start.startswith(_HTML):
            raise RejectedError(f"{name} is an HTML page, an error or a login page probably")


def together(findings: Iterable[Finding]) -> Finding:
    """What several findings say in one: from the latest beginning to the earliest end."""
    found = list(findings)
    return Finding(
        valid_from=max((each.valid_from for each in found if each.valid_from), default=None),
        expires_at=min((each.expires_at for each in found if each.expires_at), default=None),
    )
