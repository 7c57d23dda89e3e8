"""Authorities to trust while one follows another: the new one first, then for a while those that it superseded.

Nothing is remembered but what is published: a line above each superseded one (explanatory text, RFC 7468, 5.2) says
since when it is. So it works after a restart, on another node, and when the path leads to another mount. The
`certificate` verifier reads the line, too: it takes a superseded authority for nobody's issuer.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

MOST_KEPT = 4
"""Superseded authorities; a file that grows with each new one would never be noticed until it is too large."""

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")
_LINE = re.compile(r"^# superseded (\S+), kept until ", re.MULTILINE)
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate to trust; `superseded_at` is when another one came in its place, None for the one in use."""

    certificate: x509.Certificate
    superseded_at: datetime | None = None


def authorities(
    current: x509.Certificate, published: bytes | None, *, overlap: timedelta, now: datetime
) -> list[Authority]:
    """The one in use, then those in what is published that it superseded less than `overlap` ago, the latest first."""
    kept: dict[x509.Certificate, datetime] = {}
    for found in _read((published or b"").decode(errors="replace")):
        since = min(found.superseded_at or now, now)
        in_use = found.certificate == current or found.certificate.not_valid_after_utc <= now
        if not in_use and now < since + overlap:
            kept.setdefault(found.certificate, since)
    latest_first = sorted(kept.items(), key=lambda each: each[1], reverse=True)
    return [Authority(current), *(Authority(*each) for each in latest_first[:MOST_KEPT])]


def written(trusted: list[Authority], *, overlap: timedelta) -> bytes:
    """The authorities as PEM, with a line above each that is superseded."""
    return "".join(_line(each, overlap) + _pem(each.certificate) for each in trusted).encode()


def _line(authority: Authority, overlap: timedelta) -> str:
    since = authority.superseded_at
    return f"# superseded {since:{_MOMENT}}, kept until {since + overlap:{_MOMENT}}\n" if since else ""


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _read(text: str) -> Iterator[Authority]:
    above = 0
    for block in _BLOCK.finditer(text):
        said = _LINE.search(text, above, block.start())
        above = block.end()
        try:
            certificate = x509.load_pem_x509_certificate(block[0].encode())
            since = datetime.strptime(said[1], _MOMENT).replace(tzinfo=UTC) if said else None
        except ValueError:
            continue
        yield Authority(certificate, since)
