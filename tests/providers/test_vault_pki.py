from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from providers.vault import VaultProvider
from refresher.demo.openbao import OpenBao
from refresher.errors import ConfigError, PermanentError
from refresher.verifiers.certificate import CertificateOptions, CertificateVerifier
from tests.fakes.candidate import FakeCandidate
from tests.providers.vault_sources import Source, Sources, contents, held, intermediate_of, unique


@pytest.fixture
def source(bao: OpenBao, tmp_path: Path) -> Sources:
    return lambda **options: Source(bao, tmp_path, **options)


@pytest.fixture(scope="module")
def root(bao: OpenBao) -> tuple[str, str]:
    """(mount, root's PEM)."""
    mount = unique("pki")
    return mount, bao.pki(mount, "web")


@pytest.fixture(scope="module")
def intermediate(bao: OpenBao, root: tuple[str, str]) -> str:
    return intermediate_of(bao, *root)


def names(pem: bytes) -> list[str]:
    return [each.subject.rfc4514_string() for each in x509.load_pem_x509_certificates(pem)]


def test_an_issued_certificate_is_the_three_files_of_a_tls_secret(source: Sources, root: tuple[str, str]) -> None:
    found = source(path=f"{root[0]}/issue/web", data={"common_name": "web.example.com", "ttl": "1h"}).fetched()
    files = contents(found)
    certificate = x509.load_pem_x509_certificate(files["tls.crt"])
    key = serialization.load_pem_private_key(files["tls.key"], None)
    assert sorted(files) == ["ca.crt", "tls.crt", "tls.key"]
    assert names(files["tls.crt"]) == ["CN=web.example.com"]
    assert files["ca.crt"].decode().strip() == root[1].strip()
    assert certificate.public_key() == key.public_key()
    assert found.revision == ":".join(f"{byte:02x}" for byte in certificate.serial_number.to_bytes(20).lstrip(b"\0"))


def test_only_the_key_is_sensitive_and_the_answer_is_made_anew(source: Sources, root: tuple[str, str]) -> None:
    web = source(path=f"{root[0]}/issue/web", data={"common_name": "web.example.com"})
    first = web.fetched()
    assert {file.name: file.sensitive for file in first.files} == {"ca.crt": False, "tls.crt": False, "tls.key": True}
    assert first.minted
    assert web.fetched(held(first)).revision != first.revision


def test_intermediates_are_served_and_the_root_is_not(
    source: Sources, root: tuple[str, str], intermediate: str
) -> None:
    files = contents(source(path=f"{intermediate}/issue/web", data={"common_name": "web", "ttl": "9m"}).fetched())
    assert names(files["tls.crt"]) == ["CN=web", "CN=middle"]
    assert files["ca.crt"].decode().strip() == root[1].strip()


def test_a_signed_request_gives_no_key(source: Sources, root: tuple[str, str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signed.example.com")])
    request = x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256())
    csr = request.public_bytes(serialization.Encoding.PEM).decode()
    for sign in ("sign/web", "sign-verbatim/web", "sign-verbatim"):
        data = {"csr": csr, "common_name": "signed.example.com"}
        found = source(path=f"{root[0]}/{sign}", data=data).fetched()
        assert sorted(contents(found)) == ["ca.crt", "tls.crt"]


def test_an_authority_with_an_ed25519_key_is_served_and_its_chain_accepted(bao: OpenBao, source: Sources) -> None:
    mount = unique("pki")
    bao.enable(mount, "pki")
    root = {"common_name": "edwards", "key_type": "ed25519", "ttl": "8760h"}
    root_pem = bao.write(f"{mount}/root/generate/internal", root)["data"]["certificate"]
    bao.write(f"{mount}/roles/web", {"allow_any_name": True, "key_type": "ed25519"})
    for issuing in (mount, intermediate_of(bao, mount, root_pem)):
        files = contents(source(path=f"{issuing}/issue/web", data={"common_name": "web", "ttl": "9m"}).fetched())
        candidate = FakeCandidate(files, now=x509.load_pem_x509_certificate(files["tls.crt"]).not_valid_before_utc)
        assert names(files["ca.crt"]) == ["CN=edwards"]
        CertificateVerifier(CertificateOptions(names=("web",))).verify(candidate)


def test_certificates_can_be_as_short_as_seconds(bao: OpenBao, source: Sources) -> None:
    mount = unique("pki")
    bao.pki(mount, "web", not_before_duration="1s")
    files = contents(source(path=f"{mount}/issue/web", data={"common_name": "web", "ttl": "3s"}).fetched())
    certificate = x509.load_pem_x509_certificate(files["tls.crt"])
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds() <= 5


@pytest.mark.parametrize("form", ["der", "pem_bundle"])
def test_forms_that_would_hide_a_key_in_the_certificate_are_refused(
    source: Sources, root: tuple[str, str], form: str
) -> None:
    with pytest.raises(PermanentError, match="pem"):
        source(path=f"{root[0]}/issue/web", data={"common_name": "web", "format": form}).look()


def test_chosen_fields_of_an_issued_certificate_are_files_as_anywhere(source: Sources, root: tuple[str, str]) -> None:
    data = {"common_name": "web", "format": "pem_bundle"}
    found = source(path=f"{root[0]}/issue/web", data=data, fields={"haproxy.pem": "certificate"}).fetched()
    (content,) = contents(found).values()
    assert b"PRIVATE KEY" in content
    assert [file.sensitive for file in found.files] == [True]


def test_a_certificate_with_a_lease_tells_of_it(bao: OpenBao, source: Sources) -> None:
    mount = unique("pki")
    bao.pki(mount, "web", generate_lease=True)
    found = source(path=f"{mount}/issue/web", data={"common_name": "web", "ttl": "60s"}).fetched()
    assert found.lease is not None
    assert not found.lease.renewable
    assert 50 < found.lease.duration.total_seconds() <= 60


def test_a_name_that_the_role_refuses_is_permanent_and_said(bao: OpenBao, source: Sources) -> None:
    mount = unique("pki")
    bao.pki(mount, "web", allow_any_name=False, allowed_domains="example.com", allow_subdomains=True)
    with pytest.raises(PermanentError, match=r"400.*evil\.test not allowed"):
        source(path=f"{mount}/issue/web", data={"common_name": "evil.test"}).look()


def test_an_ssh_key_is_not_taken_for_a_certificate(bao: OpenBao, source: Sources) -> None:
    mount = unique("ssh")
    bao.enable(mount, "ssh")
    bao.write(f"{mount}/config/ca", {"generate_signing_key": True, "key_type": "ed25519"})
    role = {"key_type": "ca", "allow_user_certificates": True, "allowed_users": "*", "default_user": "x"}
    bao.write(f"{mount}/roles/ops", role)
    ssh = source(path=f"{mount}/issue/ops", data={"valid_principals": "ann", "key_type": "ed25519"})
    found = ssh.fetched()
    assert {"private_key", "signed_key"} <= contents(found).keys()
    assert found.minted
    assert ssh.provider.implied_verify == []


CERTIFICATE = {"path": "pki/issue/web", "data": {"common_name": "web"}}


def configured(**options: object) -> VaultProvider:
    parsed = VaultProvider.Options.model_validate({"address": "http://127.0.0.1:1", **options})
    return VaultProvider(parsed, VaultProvider.Shared())


@pytest.mark.parametrize(
    ("options", "checks"),
    [
        (CERTIFICATE, {}),
        ({"path": "a/b/issuer/default/issue/web", "data": {}}, {}),
        ({"path": "pki/sign/web", "data": {"csr": "…"}}, {"key": None}),
        ({"path": "pki/sign-verbatim", "data": {"csr": "…"}}, {"key": None}),
        ({"path": "pki/sign/web", "data": {"common_name": "web"}, "key": "local"}, {}),
        (
            CERTIFICATE | {"files": {"certificate": "a.pem", "key": "b", "bundle": "c"}},
            {"certificate": "a.pem", "key": "b"},
        ),
        (CERTIFICATE | {"fields": ["certificate"]}, None),
        (CERTIFICATE | {"file": "all.json"}, None),
        ({"path": "pki/sign/web", "data": {"common_name": "web"}}, None),
        ({"path": "ssh/sign/ops", "data": {"public_key": "…"}}, None),
        ({"path": "secret/issue/web"}, None),
    ],
)
def test_certificates_are_checked_though_nobody_asks(
    options: dict[str, object], checks: dict[str, object] | None
) -> None:
    provider = configured(**options)
    assert provider.implied_verify == ([] if checks is None else [{"certificate": checks}])
    assert provider.rechecks == (checks is not None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "secret/app", "key": "local"}, "key: only for certificates"),
        ({"path": "pki/issue/web", "ca_overlap": "1h"}, "with data"),
        (CERTIFICATE | {"fields": ["certificate"], "files": {"ca": "roots.pem"}}, "files: only for certificates"),
        ({"path": "pki/sign/web", "data": {"csr": "…"}, "key": "local"}, "csr"),
        ({"path": "pki/sign/web", "data": {"csr": "…"}, "files": {"bundle": "all.pem"}}, "private key"),
    ],
)
def test_options_for_certificates_that_would_do_nothing_are_configuration_errors(
    options: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        configured(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reuse_key": True}, "reuse_key must stand with key: local"),
        ({"key_type": "rsa-2048"}, "key_type must stand with key: local"),
        ({"key": "local", "key_type": "rsa-1024"}, "key_type"),
        ({"files": {"certificate": "tls.key"}}, "different names"),
        ({"files": {"bundle": "../all.pem"}}, "relative file name"),
        ({"files": {"pkcs12": {"file": "a.p12"}}}, "password"),
        ({"files": {"truststore": {"file": "a.p12", "password": "changeit"}}}, "password"),
    ],
)
def test_options_for_certificates_that_can_not_work_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said) as caught:
        configured(**CERTIFICATE, **options)
    assert "changeit" not in str(caught.value)
