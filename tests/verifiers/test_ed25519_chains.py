"""Chains that the library refuses for their Ed25519 issuers, and that are judged without it."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from refresher.contract import Finding
from refresher.errors import RejectedError
from refresher.verifiers.certificate import CertificateOptions, CertificateVerifier
from refresher.verifiers.eddsa import MOST_BETWEEN
from tests.certificates import DAY, NOON, Authority, Issued
from tests.fakes.candidate import FakeCandidate

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def edwards() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


ROOT = Authority.root(key=edwards())


def verify(leaf: Issued, *others: Issued, ca: Authority = ROOT, **options: object) -> Finding:
    files = {"tls.crt": b"".join(each.pem for each in (leaf, *others)), "tls.key": leaf.key_pem, "ca.crt": ca.pem}
    return CertificateVerifier(CertificateOptions.model_validate(options)).verify(FakeCandidate(files))


def refusal(leaf: Issued, *others: Issued, ca: Authority = ROOT, **options: object) -> str:
    with pytest.raises(RejectedError) as refused:
        verify(leaf, *others, ca=ca, **options)
    return str(refused.value)


@pytest.mark.parametrize("key", [edwards(), ec.generate_private_key(ec.SECP256R1())], ids=["ed25519", "ec"])
def test_a_leaf_of_an_ed25519_root_is_accepted_with_its_validity(key: ec.EllipticCurvePrivateKey) -> None:
    leaf = ROOT.issue("web.example.com", key=key)
    assert verify(leaf, names=["web.example.com"]).expires_at == leaf.certificate.not_valid_after_utc


def test_intermediates_may_be_ed25519_or_another_kind_in_any_order() -> None:
    first = ROOT.intermediate("first", key=edwards())
    second = first.intermediate("second")
    leaf = second.issue("web.example.com")
    verify(leaf, first, second)
    elliptic = Authority.root("elliptic")
    below = elliptic.intermediate("below", key=edwards())
    verify(below.issue("web.example.com"), below, ca=elliptic)


def test_a_leaf_that_another_root_of_the_same_name_issued_is_refused() -> None:
    other = Authority.root(key=edwards())
    assert "no chain from the leaf" in refusal(other.issue("web.example.com"))


def test_a_missing_intermediate_is_refused() -> None:
    assert "no chain from the leaf" in refusal(ROOT.intermediate().issue("web.example.com"))


def test_an_expired_root_and_intermediate_are_refused() -> None:
    root = Authority.root("ended root", key=edwards(), until=NOON - DAY / 2)
    assert "CN=ended root is not valid at that time" in refusal(root.issue("web.example.com"), ca=root)
    below = ROOT.intermediate("ended", until=NOON - DAY / 2)
    assert "CN=ended is not valid at that time" in refusal(below.issue("web.example.com"), below)


def test_an_issuer_that_is_no_authority_is_refused() -> None:
    below = ROOT.intermediate("below", ca=False)
    assert "CN=below is no authority" in refusal(below.issue("web.example.com"), below)


def test_an_issuer_without_basic_constraints_is_refused() -> None:
    below = ROOT.issue("below.example.com")
    leaf = Authority(below.certificate, below.key).issue("web.example.com")
    assert "CN=below.example.com is no authority" in refusal(leaf, below)


def test_an_issuer_that_may_not_sign_certificates_is_refused() -> None:
    below = ROOT.intermediate("below", may_sign=False)
    assert "does not allow to sign certificates" in refusal(below.issue("web.example.com"), below)


def test_an_issuer_for_another_purpose_is_refused() -> None:
    below = ROOT.intermediate("below", usage=[CLIENT])
    leaf = below.issue("web.example.com", usage=[SERVER])
    assert "does not allow the wanted purpose" in refusal(leaf, below, usage="server")
    verify(leaf, below)


def test_no_more_authorities_than_the_path_length_allows_may_be_below() -> None:
    first = ROOT.intermediate("first", path_length=0)
    second = first.intermediate("second")
    verify(first.issue("web.example.com"), first)
    assert "CN=first may not have so many authorities below it" in refusal(
        second.issue("web.example.com"), first, second
    )


def test_name_constraints_are_refused_since_nobody_would_check_them() -> None:
    constraints = x509.NameConstraints([x509.DNSName("example.com")], None)
    below = ROOT.intermediate("below", extension=constraints)
    assert "name constraints" in refusal(below.issue("web.example.com"), below)


@pytest.mark.parametrize("critical_in", ["leaf", "issuer"])
def test_a_critical_extension_that_nobody_knows_is_refused(critical_in: str) -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    below = ROOT.intermediate("below", extension=unknown if critical_in == "issuer" else None)
    leaf = below.issue("web.example.com", extension=unknown if critical_in == "leaf" else None)
    assert "the critical extension 1.2.3.4, unknown here" in refusal(leaf, below)


def test_a_weak_key_between_is_refused() -> None:
    below = ROOT.intermediate("below", key=rsa.generate_private_key(65537, 1024))
    assert "CN=below has a key that is weak" in refusal(below.issue("web.example.com"), below)


def test_what_the_library_refuses_in_other_chains_stays_refused_beside_an_ed25519_root() -> None:
    elliptic = Authority.root("elliptic")
    below = elliptic.intermediate("below", may_sign=False)
    files = {"tls.crt": below.issue("web.example.com").pem + below.pem, "ca.crt": ROOT.pem + elliptic.pem}
    with pytest.raises(RejectedError, match="does not allow to sign certificates"):
        CertificateVerifier(CertificateOptions(key=None)).verify(FakeCandidate(files))


def test_a_sound_path_is_found_beside_a_faulty_one() -> None:
    key = edwards()
    faulty = ROOT.intermediate("below", key=key, may_sign=False)
    sound = ROOT.intermediate("below", key=key)
    verify(sound.issue("web.example.com"), faulty, sound)


def test_a_circle_of_authorities_ends() -> None:
    keys = [edwards() for _ in range(4)]
    ring = [Authority.root("ring", key=signing).intermediate("ring", key=key) for signing in keys for key in keys]
    assert "no chain from the leaf" in refusal(ring[0].issue("web.example.com"), *ring)


@pytest.mark.parametrize(("between", "accepted"), [(MOST_BETWEEN, True), (MOST_BETWEEN + 1, False)])
def test_a_path_has_an_end(between: int, accepted: bool) -> None:
    chain = [ROOT]
    for number in range(between):
        chain.append(chain[-1].intermediate(f"number {number}"))
    leaf = chain[-1].issue("web.example.com")
    if accepted:
        verify(leaf, *chain[1:])
    else:
        assert "no chain from the leaf" in refusal(leaf, *chain[1:])
