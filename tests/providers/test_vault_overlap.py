from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
from cryptography import x509

from providers.vault.pki.overlap import MOST_KEPT, authorities, written
from providers.vault.session import Sessions
from refresher.contract import Fetched
from refresher.demo.openbao import OpenBao
from refresher.errors import RejectedError
from refresher.verifiers.certificate import CertificateOptions, CertificateVerifier
from tests.certificates import DAY, HOUR, NOON, Authority
from tests.fakes.candidate import FakeCandidate, FakeFiles
from tests.providers.vault_sources import Clock, Source, Sources, contents, published, unique

OLD, NEW = Authority.root("old"), Authority.root("new")


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime.now(UTC))


@pytest.fixture
def source(bao: OpenBao, tmp_path: Path, clock: Clock) -> Sources:
    shared = Sessions(clock)
    given = {"data": {"common_name": "web.example.com"}, "ca_overlap": "24h"}
    return lambda **options: Source(bao, tmp_path, shared=shared, **given | options)


@pytest.fixture(scope="module")
def mounts(bao: OpenBao) -> list[str]:
    """Two authorities: the second is to follow the first."""
    names = [unique("pki"), unique("pki")]
    for name in names:
        bao.pki(name, "web")
    return names


def cas(found: Fetched) -> list[str]:
    return [each.issuer.rfc4514_string() for each in x509.load_pem_x509_certificates(contents(found)["ca.crt"])]


def trusted(current: Authority, before: bytes | None, *, now: datetime = NOON, overlap: timedelta = DAY) -> bytes:
    return written(authorities(current.certificate, before, overlap=overlap, now=now), overlap=overlap)


def count(content: bytes) -> int:
    return content.count(b"BEGIN CERTIFICATE")


def test_after_a_rotation_the_new_authority_comes_first_and_the_old_one_stays(
    source: Sources, mounts: list[str], clock: Clock
) -> None:
    old, new = (f"CN={mount} root" for mount in mounts)
    first = source(path=f"{mounts[0]}/issue/web").fetched()
    rotated = source(path=f"{mounts[1]}/issue/web").fetched(published=published(first))
    assert (cas(first), cas(rotated)) == ([old], [new, old])
    clock.now += timedelta(hours=23)
    renewed = source(path=f"{mounts[1]}/issue/web").fetched(published=published(rotated))
    assert contents(renewed)["ca.crt"] == contents(rotated)["ca.crt"]
    clock.now += timedelta(hours=1)
    assert cas(source(path=f"{mounts[1]}/issue/web").fetched(published=published(renewed))) == [new]


def test_a_new_root_of_the_same_mount_is_a_rotation_too(bao: OpenBao, source: Sources) -> None:
    mount = unique("pki")
    bao.pki(mount, "web")
    first = source(path=f"{mount}/issue/web").fetched()
    made = bao.write(f"{mount}/root/rotate/internal", {"common_name": "next", "key_type": "ec", "ttl": "8760h"})
    bao.write(f"{mount}/root/replace", {"default": made["data"]["issuer_id"]})
    assert cas(source(path=f"{mount}/issue/web").fetched(published=published(first))) == ["CN=next", f"CN={mount} root"]


def test_without_the_option_only_the_new_authority_is_trusted(source: Sources, mounts: list[str]) -> None:
    first = source(path=f"{mounts[0]}/issue/web").fetched()
    rotated = source(path=f"{mounts[1]}/issue/web", ca_overlap=0).fetched(published=published(first))
    assert cas(rotated) == [f"CN={mounts[1]} root"]


def test_an_authority_that_somebody_else_wrote_is_not_kept(source: Sources, mounts: list[str]) -> None:
    class Planted(FakeFiles):
        def open(self, name: str) -> BinaryIO:
            return FakeFiles({name: OLD.pem}).open(name)

    visible = Planted(contents(source(path=f"{mounts[0]}/issue/web").fetched()))
    assert cas(source(path=f"{mounts[1]}/issue/web").fetched(published=visible)) == [f"CN={mounts[1]} root"]


def test_the_verifier_accepts_the_leaf_with_the_new_authority(source: Sources, mounts: list[str], clock: Clock) -> None:
    first = source(path=f"{mounts[0]}/issue/web").fetched()
    rotated = source(path=f"{mounts[1]}/issue/web").fetched(published=published(first))
    candidate = FakeCandidate(contents(rotated), now=clock.now, published=published(first))
    CertificateVerifier(CertificateOptions()).verify(candidate)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_the_verifier_refuses_a_leaf_that_only_a_superseded_authority_has_issued(line_end: bytes) -> None:
    leaf, ca = OLD.issue("web.example.com"), trusted(NEW, OLD.pem).replace(b"\n", line_end)
    candidate = FakeCandidate({"tls.crt": leaf.pem, "tls.key": leaf.key_pem, "ca.crt": ca})
    assert count(ca) == 2
    with pytest.raises(RejectedError, match="no chain from the leaf"):
        CertificateVerifier(CertificateOptions()).verify(candidate)


def test_the_line_above_says_since_when_and_until_when() -> None:
    line = b"# superseded 2026-11-22T12:00:00Z, kept until 2026-11-23T12:00:00Z\n"
    assert trusted(NEW, OLD.pem) == NEW.pem + line + OLD.pem


def test_a_longer_or_shorter_overlap_counts_for_those_kept_already() -> None:
    before = trusted(NEW, OLD.pem)
    assert count(trusted(NEW, before, now=NOON + 2 * DAY, overlap=3 * DAY)) == 2
    assert count(trusted(NEW, before, now=NOON + 2 * HOUR, overlap=HOUR)) == 1


def test_an_expired_authority_is_not_kept() -> None:
    assert count(trusted(NEW, Authority.root(until=NOON).pem)) == 1


def test_the_same_authority_is_there_once() -> None:
    assert trusted(NEW, NEW.pem + NEW.pem) == NEW.pem
    assert count(trusted(NEW, OLD.pem + OLD.pem + NEW.pem)) == 2


def test_one_that_comes_back_is_in_use_again() -> None:
    assert trusted(OLD, trusted(NEW, OLD.pem), now=NOON + HOUR).startswith(
        OLD.pem + b"# superseded 2026-11-22T13:00:00Z"
    )


def test_only_the_latest_few_are_kept() -> None:
    before = b""
    roots = [Authority.root(f"root {number}") for number in range(MOST_KEPT + 3)]
    for number, root in enumerate(roots):
        before = trusted(root, before, now=NOON + number * timedelta(minutes=1))
    kept = x509.load_pem_x509_certificates(before)
    assert kept == [root.certificate for root in reversed(roots)][: MOST_KEPT + 1]


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\xff\xfe",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"# superseded never, kept until 2026-11-23T12:00:00Z\n" + OLD.pem,
    ],
)
def test_what_is_no_certificate_is_not_kept(junk: bytes) -> None:
    assert trusted(NEW, junk) == NEW.pem


def test_a_moment_in_the_future_is_taken_for_now() -> None:
    before = trusted(NEW, OLD.pem, now=NOON + 30 * DAY)
    assert b"superseded 2026-11-22T12:00:00Z" in trusted(NEW, before)
