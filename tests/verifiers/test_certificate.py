from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from refresher.contract import Finding
from refresher.errors import PermanentError, RejectedError
from refresher.options import LocalFile
from refresher.verifiers.certificate import CertificateOptions, CertificateVerifier
from tests.certificates import DAY, HOUR, NOON, Authority, Issued, new_key
from tests.fakes.candidate import FakeCandidate, FakeFiles, HugeCandidate

SAN = x509.SubjectAlternativeName.oid
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
MINUTE = timedelta(minutes=1)
ROOT = Authority.root()


def verify(files: dict[str, bytes], *, published: Issued | None = None, **options: object) -> Finding:
    before = FakeFiles({"tls.crt": published.pem}) if published else None
    return CertificateVerifier(CertificateOptions.model_validate(options)).verify(
        FakeCandidate(files, published=before)
    )


def files_of(leaf: Issued, *others: Issued, ca: Authority | None = ROOT) -> dict[str, bytes]:
    files = {"tls.crt": b"".join(issued.pem for issued in (leaf, *others)), "tls.key": leaf.key_pem}
    return files | ({"ca.crt": ca.pem} if ca else {})


def refusal(files: dict[str, bytes], *, published: Issued | None = None, **options: object) -> str:
    with pytest.raises(RejectedError) as refused:
        verify(files, published=published, **options)
    return str(refused.value)


def trusting(path: Path, *roots: Authority) -> dict[str, str]:
    path.write_bytes(b"".join(root.pem for root in roots))
    return {"file": str(path)}


def test_a_sound_certificate_is_accepted_with_its_validity() -> None:
    found = verify(files_of(ROOT.issue("web.example.com")), names=["web.example.com"], min_remaining="23h")
    assert found == Finding(valid_from=NOON - HOUR, expires_at=NOON + DAY)


def test_it_expires_when_a_presented_intermediate_does() -> None:
    between = ROOT.intermediate(until=NOON + HOUR)
    assert verify(files_of(between.issue("a.example"), between)).expires_at == NOON + HOUR


def test_an_expired_intermediate_that_the_chain_does_not_need_changes_nothing() -> None:
    leaf, useless = ROOT.issue("a.example"), ROOT.intermediate(since=NOON - 3 * DAY, until=NOON - 2 * DAY)
    assert verify(files_of(leaf, useless)).expires_at == NOON + DAY


def test_a_root_that_ends_sooner_is_not_part_of_what_was_presented() -> None:
    root = Authority.root(until=NOON + HOUR)
    assert verify(files_of(root.issue("a.example"), ca=root)).expires_at == NOON + DAY


def test_the_order_of_leaf_and_intermediates_does_not_matter() -> None:
    outer = ROOT.intermediate("outer")
    inner = outer.intermediate("inner")
    leaf = inner.issue("a.example")
    files = {"tls.crt": outer.pem + leaf.pem + inner.pem, "tls.key": leaf.key_pem, "ca.crt": ROOT.pem}
    assert verify(files, names=["a.example"]).valid_from == NOON - HOUR


def test_windows_line_ends_and_text_between_the_blocks_are_read() -> None:
    between = ROOT.intermediate()
    leaf = between.issue("a.example")
    text = b"subject=CN = a\n" + leaf.pem + b"\xff junk - between\n" + between.pem + b"end\n"
    files = files_of(leaf) | {"tls.crt": text.replace(b"\n", b"\r\n"), "tls.key": leaf.key_pem.replace(b"\n", b"\r\n")}
    assert verify(files, names=["a.example"])


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("key", [new_key(), rsa.generate_private_key(65537, 2048)], ids=["ec", "rsa"])
def test_keys_in_pkcs8_pkcs1_and_sec1_form_are_read(
    form: PrivateFormat, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
) -> None:
    leaf = ROOT.issue("a.example", key=key)
    assert verify(files_of(leaf) | {"tls.key": leaf.key_in(form)})


def test_an_ed25519_leaf_is_accepted() -> None:
    assert verify(files_of(ROOT.issue("a.example", key=ed25519.Ed25519PrivateKey.generate())))


def test_certificate_and_key_may_be_in_one_file() -> None:
    leaf = ROOT.issue("a.example")
    assert verify({"all.pem": leaf.key_pem + leaf.pem, "ca.crt": ROOT.pem}, certificate="all.pem", key="all.pem")


def test_a_key_of_another_certificate_is_refused() -> None:
    files = files_of(ROOT.issue("a.example")) | {"tls.key": ROOT.issue("a.example").key_pem}
    assert refusal(files) == "tls.key is not the key of tls.crt: they don't belong together"


def test_a_missing_key_is_refused_unless_there_is_to_be_none() -> None:
    files = files_of(ROOT.issue("a.example"))
    del files["tls.key"]
    assert "tls.key is missing; there are: ca.crt, tls.crt" in refusal(files)
    assert verify(files, key=None)


def test_without_a_key_the_leaf_is_the_one_that_issued_no_other() -> None:
    between = ROOT.intermediate()
    leaf = between.issue("a.example")
    files = {"tls.crt": ROOT.pem + between.pem + leaf.pem, "ca.crt": ROOT.pem}
    assert verify(files, key=None, names=["a.example"]).valid_from == NOON - HOUR


def test_an_encrypted_key_is_refused_with_the_reason() -> None:
    leaf = ROOT.issue("a.example")
    for form in (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL):
        files = files_of(leaf) | {"tls.key": leaf.key_in(form, password=b"pw")}
        assert "tls.key: the private key is encrypted" in refusal(files)


def test_a_broken_key_is_refused_without_showing_any_of_it() -> None:
    leaf = ROOT.issue("a.example")
    lines = leaf.key_pem.splitlines()
    secret = b"c2VjcmV0" * 8
    files = files_of(leaf) | {"tls.key": b"\n".join([lines[0], secret, *lines[2:]])}
    with pytest.raises(RejectedError, match="private key can't be read") as refused:
        verify(files)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
    assert secret.decode() not in str(refused.value)


@pytest.mark.parametrize("count", [0, 2])
def test_a_key_file_holds_exactly_one_key(count: int) -> None:
    leaf = ROOT.issue("a.example")
    assert "must hold one" in refusal(files_of(leaf) | {"tls.key": leaf.key_pem * count})


def test_a_file_without_a_certificate_is_refused() -> None:
    assert (
        refusal(files_of(ROOT.issue("a.example")) | {"tls.crt": b"hello"}) == "tls.crt holds no certificate in PEM form"
    )


def test_a_block_that_is_cut_off_is_refused_even_after_whole_ones() -> None:
    between = ROOT.intermediate()
    leaf = ROOT.issue("a.example")
    files = files_of(leaf) | {"tls.crt": leaf.pem + between.pem[:-30]}
    assert "tls.crt: PEM block 2 has no end" in refusal(files)


def test_every_certificate_has_to_be_readable() -> None:
    leaf = ROOT.issue("a.example")
    broken = b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"
    assert "tls.crt: certificate 2 can't be read" in refusal(files_of(leaf) | {"tls.crt": leaf.pem + broken})
    assert "ca.crt: certificate 1 can't be read" in refusal(files_of(leaf) | {"ca.crt": broken})


def test_a_certificate_with_an_unreadable_extension_is_refused() -> None:
    leaf = ROOT.issue(common_name="a.example", extension=x509.UnrecognizedExtension(SAN, b"no names"))
    assert "tls.crt: certificate 1 can't be read" in refusal(files_of(leaf))


def test_a_critical_extension_that_nobody_knows_is_refused() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert "critical extensions" in refusal(files_of(ROOT.issue(common_name="a.example", extension=unknown)))


def test_a_huge_file_is_refused_unread() -> None:
    candidate = HugeCandidate(files_of(ROOT.issue("a.example")))
    with pytest.raises(RejectedError, match=r"tls\.crt has 1000000000000 bytes"):
        CertificateVerifier(CertificateOptions()).verify(candidate)


def test_a_chain_leads_to_the_trusted_roots(tmp_path: Path) -> None:
    between = ROOT.intermediate()
    files = files_of(between.issue("a.example"), between, ca=None)
    assert verify(files, trust=trusting(tmp_path / "roots.pem", Authority.root("other"), ROOT))


def test_the_roots_that_came_with_it_do_not_stand_in_for_trusted_ones(tmp_path: Path) -> None:
    impostor = Authority.root("test root")
    said = refusal(files_of(impostor.issue("a.example"), ca=impostor), trust=trusting(tmp_path / "roots.pem", ROOT))
    assert (
        f"tls.crt: there is no chain from the leaf (issued by CN=test root) to the trusted roots in {tmp_path}" in said
    )


def test_trusted_roots_are_read_at_each_check(tmp_path: Path) -> None:
    files, other = files_of(ROOT.issue("a.example")), Authority.root("other")
    verifier = CertificateVerifier(
        CertificateOptions.model_validate({"trust": trusting(tmp_path / "roots.pem", other)})
    )
    with pytest.raises(RejectedError, match="no issuer of it is there"):
        verifier.verify(FakeCandidate(files))
    trusting(tmp_path / "roots.pem", ROOT)
    assert verifier.verify(FakeCandidate(files))


@pytest.mark.parametrize("content", [None, b"no roots"])
def test_trusted_roots_that_cannot_be_read_refuse_nothing_for_good(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PermanentError, match=str(path)):
        verify(files_of(ROOT.issue("a.example")), trust={"file": str(path)})


def test_without_trusted_roots_the_chain_leads_to_the_ca_that_came_with_it() -> None:
    assert "to ca.crt" in refusal(files_of(Authority.root("other").issue("a.example")))


def test_without_any_root_an_intermediate_has_to_be_the_issuer() -> None:
    between = ROOT.intermediate()
    assert verify(files_of(between.issue("a.example"), between, ca=None))
    assert "an intermediate that came with it" in refusal(files_of(ROOT.issue("a.example"), between, ca=None))


def test_a_missing_intermediate_is_refused() -> None:
    assert "no issuer of it is there" in refusal(files_of(ROOT.intermediate().issue("a.example")))


def test_an_issuer_that_is_no_authority_is_refused() -> None:
    between = ROOT.intermediate(ca=False)
    assert "basicConstraints.cA must be asserted" in refusal(files_of(between.issue("a.example"), between))


def test_an_issuer_that_may_not_sign_certificates_is_refused() -> None:
    between = ROOT.intermediate(may_sign=False)
    assert "does not allow to sign certificates" in refusal(files_of(between.issue("a.example"), between))


def test_an_issuer_for_another_purpose_is_refused() -> None:
    between = ROOT.intermediate(usage=[CLIENT])
    files = files_of(between.issue("a.example"), between)
    assert "does not allow the wanted purpose" in refusal(files, usage="server")
    assert verify(files, usage="client")


def test_an_expired_root_is_refused(tmp_path: Path) -> None:
    root = Authority.root(until=NOON - MINUTE)
    assert "not valid at validation time" in refusal(files_of(root.issue("a.example"), ca=root))


def test_an_expired_certificate_is_refused() -> None:
    assert refusal(files_of(ROOT.issue("a.example", until=NOON))) == "tls.crt expired at 2026-11-22T12:00:00Z"


def test_the_issuers_clock_may_be_five_minutes_ahead() -> None:
    assert verify(files_of(ROOT.issue("a.example", since=NOON + 5 * MINUTE)))
    said = refusal(files_of(ROOT.issue("a.example", since=NOON + 6 * MINUTE)))
    assert said == "tls.crt is not valid before 2026-11-22T12:06:00Z"


def test_too_little_remaining_is_refused() -> None:
    said = refusal(files_of(ROOT.issue("a.example", until=NOON + 59 * MINUTE)), min_remaining="1h")
    assert said == "tls.crt or an intermediate ends at 2026-11-22T12:59:00Z, in less than 1h (min_remaining)"
    assert verify(files_of(ROOT.issue("a.example", until=NOON + HOUR)), min_remaining="1h")


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("web.example.com", "WEB.example.com"),
        ("web.example.com", "web.example.com."),
        ("*.example.com", "web.example.com"),
        ("*.example.com", "*.example.com"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8:0::1"),
        ("spiffe://example.org/web", "spiffe://example.org/web"),
    ],
)
def test_names_that_a_certificate_is_for(held: str, wanted: str) -> None:
    assert verify(files_of(ROOT.issue(held)), names=[wanted])


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ("web.example.com", "example.com"),
        ("*.example.com", "example.com"),
        ("*.example.com", "a.b.example.com"),
        ("*.example.com", ".example.com"),
        ("web.example.com", "*.example.com"),
        ("w*.example.com", "web.example.com"),
        ("192.0.2.7", "192.0.2.8"),
        ("a.example", "192.0.2.8"),
        ("*.0.2.7", "192.0.2.7"),
        ("spiffe://example.org/web", "spiffe://example.org/db"),
        ("spiffe://example.org/web", "example.org"),
    ],
)
def test_names_that_a_certificate_is_not_for(held: str, wanted: str) -> None:
    assert refusal(files_of(ROOT.issue(held)), names=[wanted]) == f"tls.crt is not for {wanted}; it is for {held}"


def test_every_name_has_to_be_covered() -> None:
    assert "not for b.example;" in refusal(files_of(ROOT.issue("a.example")), names=["a.example", "b.example"])


def test_a_common_name_counts_only_where_there_are_no_alternative_names() -> None:
    assert verify(files_of(ROOT.issue(common_name="a.example")), names=["a.example"])
    assert "is not for a.example" in refusal(
        files_of(ROOT.issue("b.example", common_name="a.example")), names=["a.example"]
    )
    with_uri = ROOT.issue("spiffe://example.org/web", common_name="a.example")
    assert "is not for a.example" in refusal(files_of(with_uri), names=["a.example"])


def test_the_usage_has_to_be_allowed() -> None:
    server = files_of(ROOT.issue("a.example", usage=[SERVER]))
    assert verify(server)
    assert verify(server, usage="server")
    assert refusal(server, usage="client") == "tls.crt: its extended key usage does not allow the usage client"
    assert "usage both" in refusal(server, usage="both")
    assert verify(files_of(ROOT.issue("a.example", usage=[SERVER, CLIENT])), usage="both")
    assert verify(files_of(ROOT.issue("a.example")), usage="both")
    assert verify(files_of(ROOT.issue("a.example", usage=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])), usage="both")


def test_the_kind_of_key_has_to_be_allowed() -> None:
    files = files_of(ROOT.issue("a.example"))
    assert verify(files, keys=["rsa-2048", "ecdsa-p256"])
    assert (
        refusal(files, keys=["rsa-2048", "ed25519"])
        == "tls.crt: its key is ecdsa-p256, and allowed are rsa-2048, ed25519"
    )
    weak = files_of(ROOT.issue("a.example", key=rsa.generate_private_key(65537, 1024)))
    assert "its key is rsa-1024" in refusal(weak, keys=["rsa-2048"])
    assert verify(files_of(ROOT.issue("a.example", key=ed25519.Ed25519PrivateKey.generate())), keys=["ed25519"])


def test_a_certificate_older_than_the_published_one_is_refused() -> None:
    published = ROOT.issue("a.example")
    older = ROOT.issue("a.example", since=NOON - 2 * HOUR, until=NOON + 23 * HOUR)
    assert "tls.crt is older than the published one" in refusal(files_of(older), published=published)


@pytest.mark.parametrize(
    ("since", "until"),
    [(NOON - 2 * HOUR, NOON + 2 * DAY), (NOON - HOUR, NOON + HOUR), (NOON, NOON + HOUR)],
    ids=["ends later", "began together", "began later"],
)
def test_only_beginning_and_ending_earlier_is_older(since: object, until: object) -> None:
    leaf = ROOT.issue("a.example", since=since, until=until)  # type: ignore[arg-type]
    assert verify(files_of(leaf), published=ROOT.issue("a.example"))


def test_an_older_certificate_replaces_an_expired_one_and_one_for_other_names() -> None:
    older = files_of(ROOT.issue("a.example", since=NOON - 2 * DAY, until=NOON + HOUR))
    assert verify(older, published=ROOT.issue("b.example"))
    older = files_of(ROOT.issue("a.example", since=NOON - 2 * DAY, until=NOON + HOUR))
    assert verify(older, published=ROOT.issue("a.example", until=NOON))


def test_something_published_that_is_no_certificate_is_not_compared_with() -> None:
    candidate = FakeCandidate(files_of(ROOT.issue("a.example")), published=FakeFiles({"tls.crt": b"?"}))
    assert CertificateVerifier(CertificateOptions()).verify(candidate)


def test_unknown_options_and_key_kinds_are_configuration_errors() -> None:
    with pytest.raises(ValidationError):
        CertificateOptions.model_validate({"name": ["a.example"]})
    with pytest.raises(ValidationError):
        CertificateOptions.model_validate({"keys": ["rsa-17"]})


def test_the_trust_option_is_a_reference_to_a_file() -> None:
    options = CertificateOptions.model_validate({"trust": {"file": "/etc/roots.pem"}})
    assert options.trust == LocalFile(file=Path("/etc/roots.pem"))


@given(st.binary(max_size=300), st.integers(0, 2000), st.integers(0, 40))
def test_whatever_happens_to_the_files_nothing_but_a_rejection_escapes(junk: bytes, at: int, removed: int) -> None:
    damaged = {name: data[:at] + junk + data[at + removed :] for name, data in SOUND.items()}
    for name in SOUND:
        try:
            verify(SOUND | {name: damaged[name]})
        except RejectedError as refused:
            said = str(refused)
            assert said.startswith(("tls.crt", "tls.key", "ca.crt"))


SOUND = files_of(ROOT.issue("a.example"), ROOT.intermediate())


def test_a_file_of_nothing_but_beginnings_takes_no_time() -> None:
    assert "has no end" in refusal(SOUND | {"tls.crt": b"-----BEGIN A-----" * (1024 * 1024 // 17)})
