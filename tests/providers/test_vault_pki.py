from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from providers.vault import VaultProvider
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError
from tests.providers.vault_sources import Source, Sources, contents, held, unique


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
    """A mount whose authority another one has signed."""
    mount = unique("pki-int")
    bao.enable(mount, "pki")
    request = bao.write(f"{mount}/intermediate/generate/internal", {"common_name": "middle", "key_type": "ec"})
    signed = bao.write(f"{root[0]}/root/sign-intermediate", {"csr": request["data"]["csr"], "common_name": "middle"})
    chain = signed["data"]["certificate"] + "\n" + root[1]
    bao.write(f"{mount}/intermediate/set-signed", {"certificate": chain})
    bao.write(f"{mount}/roles/web", {"allow_any_name": True, "key_type": "ec", "key_bits": 256, "max_ttl": "1h"})
    return mount


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


@pytest.mark.parametrize(
    ("options", "checked"),
    [
        ({"path": "pki/issue/web", "data": {"common_name": "web"}}, True),
        ({"path": "a/b/issuer/default/issue/web", "data": {}}, True),
        ({"path": "pki/sign/web", "data": {"csr": "…"}}, True),
        ({"path": "pki/sign-verbatim", "data": {"csr": "…"}}, True),
        ({"path": "pki/issue/web", "data": {}, "fields": ["certificate"]}, False),
        ({"path": "pki/issue/web", "data": {}, "file": "all.json"}, False),
        ({"path": "ssh/sign/ops", "data": {"public_key": "…"}}, False),
        ({"path": "secret/issue/web"}, False),
    ],
)
def test_certificates_are_checked_though_nobody_asks(options: dict[str, object], checked: bool) -> None:
    parsed = VaultProvider.Options.model_validate({"address": "http://127.0.0.1:1", **options})
    provider = VaultProvider(parsed, VaultProvider.Shared())
    assert provider.implied_verify == ([{"certificate": {}}] if checked else [])
