import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError
from refresher.verifiers.certificate import CertificateOptions, CertificateVerifier
from tests.fakes.candidate import FakeCandidate
from tests.providers.vault_sources import Source, Sources, contents, intermediate_of, published, unique

PASSWORD = "changeit"
JAVA_TRUST = "2.16.840.1.113894.746875.1.1"
"""The bag attribute that makes an entry a trusted one for the JDK (oracle.security.pkcs12 trustedKeyUsage)."""


@pytest.fixture(scope="module")
def mount(bao: OpenBao) -> str:
    root = unique("pki")
    return intermediate_of(bao, root, bao.pki(root, "web"))


@pytest.fixture
def password(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return {"file": str(tmp_path / "password")}


@pytest.fixture
def source(bao: OpenBao, tmp_path: Path, mount: str) -> Sources:
    given = {"path": f"{mount}/issue/web", "data": {"common_name": "web.example.com", "ttl": "10m"}}
    return lambda **options: Source(bao, tmp_path, **given | options)


def shown(store: bytes, *options: str) -> str:
    """What OpenSSL's own reader says of it."""
    argv = ["openssl", "pkcs12", "-info", "-passin", f"pass:{PASSWORD}", "-nodes", *options]
    done = subprocess.run(argv, input=store, capture_output=True, check=True)
    return (done.stdout + done.stderr).decode()


def stored(store: bytes) -> PKCS12KeyAndCertificates:
    return load_pkcs12(store, PASSWORD.encode())


def titles(certificates: list[x509.Certificate]) -> list[str]:
    return [each.subject.rfc4514_string() for each in certificates]


def test_the_three_files_take_other_names(source: Sources) -> None:
    names = {"certificate": "server/cert.pem", "key": "server/key.pem", "ca": "roots.pem"}
    found = source(files=names).fetched()
    assert {file.name: file.sensitive for file in found.files} == {
        "server/cert.pem": False,
        "server/key.pem": True,
        "roots.pem": False,
    }


def test_the_implied_check_looks_at_the_files_by_their_names(source: Sources) -> None:
    web = source(files={"certificate": "cert.pem", "key": "key.pem", "ca": "roots.pem"})
    files = contents(web.fetched())
    (check,) = web.provider.implied_verify
    now = x509.load_pem_x509_certificate(files["cert.pem"]).not_valid_before_utc
    verifier = CertificateVerifier(CertificateOptions.model_validate(check["certificate"]))
    assert verifier.verify(FakeCandidate(files, now=now)).expires_at is not None


def test_a_bundle_is_the_key_the_leaf_and_the_chain_in_one_file(source: Sources) -> None:
    found = source(files={"bundle": "haproxy.pem"}).fetched()
    files = contents(found)
    assert files["haproxy.pem"] == files["tls.key"] + files["tls.crt"]
    assert titles(x509.load_pem_x509_certificates(files["haproxy.pem"])) == ["CN=web.example.com", "CN=middle"]
    assert load_pem_private_key(files["haproxy.pem"], None)
    assert [file.sensitive for file in found.files if file.name == "haproxy.pem"] == [True]


@pytest.mark.parametrize("key", [{}, {"key": "local"}, {"key": "local", "reuse_key": True}], ids=str)
def test_a_pkcs12_store_holds_key_leaf_and_chain(source: Sources, password: Any, key: dict[str, Any]) -> None:
    found = source(files={"pkcs12": {"file": "web.p12", "password": password, "name": "web"}}, **key).fetched()
    files = contents(found)
    store = stored(files["web.p12"])
    assert store.key is not None
    assert store.cert is not None
    private = load_pem_private_key(files["tls.key"], None)
    form = (Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert store.key.private_bytes(*form) == private.private_bytes(*form)
    assert store.cert.friendly_name == b"web"
    kept = [store.cert.certificate, *(each.certificate for each in store.additional_certs)]
    assert titles(kept) == ["CN=web.example.com", "CN=middle"]
    assert [file.sensitive for file in found.files if file.name == "web.p12"] == [True]


def test_a_store_is_encrypted_with_aes_256_and_openssl_reads_it(source: Sources, password: Any) -> None:
    store = contents(source(files={"pkcs12": {"file": "web.p12", "password": password}}).fetched())["web.p12"]
    said = shown(store)
    assert "PBES2, PBKDF2, AES-256-CBC" in said
    assert "MAC: sha256" in said
    assert "friendlyName: web.example.com" in said
    assert "BEGIN PRIVATE KEY" in said


def test_a_store_for_old_readers_is_encrypted_with_3des(source: Sources, password: Any) -> None:
    options = {"file": "web.p12", "password": password, "legacy": True}
    store = contents(source(files={"pkcs12": options}).fetched())["web.p12"]
    assert stored(store).key is not None
    said = shown(store, "-legacy")
    assert "pbeWithSHA1And3-KeyTripleDES-CBC" in said
    assert "MAC: sha1" in said


def test_a_truststore_holds_the_authorities_only_and_marks_them_for_java(source: Sources, password: Any) -> None:
    found = source(files={"truststore": {"file": "trust.p12", "password": password}}).fetched()
    files = contents(found)
    store = stored(files["trust.p12"])
    assert store.key is None
    assert store.cert is None
    roots = x509.load_pem_x509_certificates(files["ca.crt"])
    assert [each.certificate for each in store.additional_certs] == roots
    assert JAVA_TRUST in shown(files["trust.p12"])
    assert [file.sensitive for file in found.files if file.name == "trust.p12"] == [False]


def test_two_authorities_of_one_name_are_two_entries(bao: OpenBao, source: Sources, password: Any, mount: str) -> None:
    files = {"truststore": {"file": "trust.p12", "password": password}}
    first = source(files=files).fetched()
    other = unique("pki")
    bao.enable(other, "pki")
    title = x509.load_pem_x509_certificate(contents(first)["ca.crt"]).subject.rfc4514_string().removeprefix("CN=")
    bao.write(f"{other}/root/generate/internal", {"common_name": title, "key_type": "ec", "ttl": "24h"})
    bao.write(f"{other}/roles/web", {"allow_any_name": True, "key_type": "ec", "key_bits": 256})
    found = source(path=f"{other}/issue/web", files=files, ca_overlap="1h").fetched(published=published(first))
    names = [each.friendly_name for each in stored(contents(found)["trust.p12"]).additional_certs]
    assert len(set(names)) == 2
    assert all(name is not None and name.startswith(title.encode()) for name in names)


@pytest.mark.parametrize("store", ["pkcs12", "truststore"])
def test_a_missing_password_is_permanent_and_noticed_before_a_certificate_is_made(
    bao: OpenBao, source: Sources, tmp_path: Path, mount: str, store: str
) -> None:
    before = bao.requests(f"{mount}/issue/")
    web = source(files={store: {"file": "web.p12", "password": {"file": str(tmp_path / "nowhere")}}})
    with pytest.raises(PermanentError, match="nowhere"):
        web.look()
    assert bao.requests(f"{mount}/issue/") == before
