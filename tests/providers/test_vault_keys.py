from pathlib import Path
from typing import BinaryIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from providers.vault.pki.keys import PrivateKey, kind_of
from refresher.contract import Fetched
from refresher.demo.openbao import OpenBao
from refresher.errors import ConfigError, PermanentError
from refresher.verifiers.certificate import CertificateOptions, CertificateVerifier
from tests.fakes.candidate import FakeCandidate, FakeFiles
from tests.providers.vault_sources import Source, Sources, contents, held, looked_at, published, unique

KINDS = ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519"]
NAMES = {
    "common_name": "web.example.com",
    "alt_names": "*.example.com, web@example.com",
    "ip_sans": ["192.0.2.1", "2001:db8::1"],
    "uri_sans": "spiffe://example.com/web",
}


@pytest.fixture(scope="module")
def mount(bao: OpenBao) -> str:
    name = unique("team/pki")
    bao.pki(name, "web", key_type="any", allowed_uri_sans="*")
    bao.write(
        f"{name}/roles/parameters",
        {
            "allow_any_name": True,
            "key_type": "any",
            "use_csr_sans": False,
            "use_csr_common_name": False,
            "allowed_uri_sans": "*",
        },
    )
    return name


@pytest.fixture
def source(bao: OpenBao, tmp_path: Path, mount: str) -> Sources:
    given = {"path": f"{mount}/issue/web", "data": {"common_name": "web.example.com"}, "key": "local"}
    return lambda **options: Source(bao, tmp_path, **given | options)


def key_of(found: Fetched) -> PrivateKey:
    pem = contents(found)["tls.key"]
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")  # PKCS#8
    key = load_pem_private_key(pem, None)
    assert isinstance(key, PrivateKey)
    return key


def leaf_of(found: Fetched) -> x509.Certificate:
    return x509.load_pem_x509_certificate(contents(found)["tls.crt"])


def names_of(certificate: x509.Certificate) -> set[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_each_kind_is_made_here_and_its_certificate_accepted(source: Sources, kind: str) -> None:
    found = source(key_type=kind).fetched()
    assert kind_of(key_of(found)) == kind
    assert leaf_of(found).public_key() == key_of(found).public_key()
    options = CertificateOptions.model_validate({"names": ["web.example.com"], "keys": [kind]})
    now = leaf_of(found).not_valid_before_utc
    CertificateVerifier(options).verify(FakeCandidate(contents(found), now=now))


def test_without_the_option_the_key_is_elliptic_and_new_each_time(source: Sources) -> None:
    web = source()
    first, second = web.fetched(), web.fetched()
    assert kind_of(key_of(first)) == "ecdsa-p256"
    assert key_of(first).public_key() != key_of(second).public_key()


def test_only_the_request_crosses_the_network(bao: OpenBao, source: Sources, mount: str) -> None:
    before = len(bao.requests(mount))
    found = source().fetched()
    assert bao.requests(mount)[before:] == [f"update {mount}/sign/web"]
    assert [file.sensitive for file in found.files if file.name == "tls.key"] == [True]


@pytest.mark.parametrize(
    "path", ["issue/web", "sign/web", "issue/parameters", "sign-verbatim", "issuer/default/issue/web"]
)
def test_all_names_are_in_the_certificate(source: Sources, mount: str, path: str) -> None:
    leaf = leaf_of(source(path=f"{mount}/{path}", data=NAMES).fetched())
    assert leaf.subject.rfc4514_string() == "CN=web.example.com"
    hosts = {"web.example.com", "*.example.com", "web@example.com"}
    assert names_of(leaf) == {*hosts, "192.0.2.1", "2001:db8::1", "spiffe://example.com/web"}


def test_a_certificate_may_be_for_a_spiffe_id_alone(bao: OpenBao, source: Sources, mount: str) -> None:
    bao.write(f"{mount}/roles/workload", {"require_cn": False, "key_type": "ec", "allowed_uri_sans": "spiffe://*"})
    data = {"uri_sans": ["spiffe://example.com/web"]}
    found = source(path=f"{mount}/issue/workload", data=data).fetched()
    assert names_of(leaf_of(found)) == {"spiffe://example.com/web"}
    options = CertificateOptions(names=("spiffe://example.com/web",))
    CertificateVerifier(options).verify(FakeCandidate(contents(found), now=leaf_of(found).not_valid_before_utc))


def test_a_common_name_can_be_kept_out_of_the_alternative_names(source: Sources) -> None:
    data = {"common_name": "web.example.com", "alt_names": "api.example.com", "exclude_cn_from_sans": "true"}
    assert names_of(leaf_of(source(data=data).fetched())) == {"api.example.com"}


def test_a_role_for_another_kind_of_key_is_permanent_and_said(bao: OpenBao, source: Sources, mount: str) -> None:
    bao.write(f"{mount}/roles/rsa", {"allow_any_name": True, "key_type": "rsa"})
    with pytest.raises(PermanentError, match=r"400.*rsa"):
        source(path=f"{mount}/issue/rsa").look()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "names nobody"),
        ({"common_name": "x" * 65}, "data.common_name must be text of at most 64 characters"),
        ({"common_name": 7}, "data.common_name"),
        ({"alt_names": "a b"}, "data.alt_names: 'a b' must be a host name or a mail address"),
        ({"alt_names": "192.0.2.1"}, "addresses are ip_sans"),
        ({"alt_names": "müller.example"}, "xn--"),
        ({"alt_names": [1]}, "data.alt_names must be a list of names"),
        ({"ip_sans": "web"}, "data.ip_sans: 'web' must be an IP address"),
        ({"uri_sans": "web"}, "data.uri_sans: 'web' must be a URI"),
        ({"uri_sans": "spiffe://[web"}, "data.uri_sans"),
        ({"common_name": "web", "other_sans": "1.2.3;UTF8:x"}, "data.other_sans"),
    ],
)
def test_names_that_no_request_can_hold_are_configuration_errors(
    source: Sources, data: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        source(data=data)


def test_a_key_is_used_again_after_a_restart_on_request_and_with_another_configuration(source: Sources) -> None:
    first = source(reuse_key=True).fetched()
    renewed = source(reuse_key=True).fetched(held(first), published=published(first))
    asked = source(reuse_key=True, data={"common_name": "api.example.com"}).fetched(published=published(renewed))
    assert len({first.revision, renewed.revision, asked.revision}) == 3
    assert {contents(found)["tls.key"] for found in (renewed, asked)} == {contents(first)["tls.key"]}
    assert leaf_of(asked).public_key() == key_of(first).public_key()


def test_a_key_that_somebody_else_wrote_is_not_used(source: Sources) -> None:
    first, planted = source().fetched(), source().fetched()

    class Planted(FakeFiles):
        def open(self, name: str) -> BinaryIO:
            return published(planted).open(name)

    found = source(reuse_key=True).fetched(held(first), published=Planted(contents(first)))
    assert key_of(found).public_key() not in (key_of(first).public_key(), key_of(planted).public_key())


@pytest.mark.parametrize("before", [b"no key", None])
def test_without_a_readable_key_a_new_one_is_made(source: Sources, before: bytes | None) -> None:
    visible = FakeFiles({"tls.key": before} if before else {})
    assert kind_of(key_of(source(reuse_key=True).fetched(published=visible))) == "ecdsa-p256"


def test_a_key_of_another_kind_is_not_used_again(source: Sources) -> None:
    first = source().fetched()
    found = source(reuse_key=True, key_type="ecdsa-p384").fetched(published=published(first))
    assert kind_of(key_of(found)) == "ecdsa-p384"


def test_a_key_is_not_used_again_unless_asked(source: Sources) -> None:
    first = source().fetched()
    assert contents(source().fetched(published=published(first)))["tls.key"] != contents(first)["tls.key"]


def test_the_key_of_a_revoked_certificate_is_never_used_again(bao: OpenBao, source: Sources, mount: str) -> None:
    first = source(reuse_key=True).fetched()
    bao.write(f"{mount}/revoke", {"serial_number": first.revision})
    found = source(reuse_key=True).fetched(looked_at(first), published=published(first))
    assert contents(found)["tls.key"] != contents(first)["tls.key"]
