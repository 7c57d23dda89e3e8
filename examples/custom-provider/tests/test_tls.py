"""Whom the provider trusts."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from refresher_git import GitProvider
from refresher_git.options import GitOptions
from serving import Repository, git_server, served

from refresher.contract import Fetched
from refresher.errors import PermanentError

LOOPBACK = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key, and a certificate for loopback that it signed itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name.from_rfc4514_string("CN=loopback")
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    signed = made.add_extension(LOOPBACK, critical=False).sign(key, SHA256())
    path = tmp_path / "loopback.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    )
    return path


def test_a_certificate_is_trusted_if_its_authority_is(repository: Repository, certificate: Path) -> None:
    repository.commit({"a": b"1"})
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with served(git_server(repository), tls) as address:
        url = f"{address}/settings.git"
        with GitProvider(GitOptions(url=url, ca_file=certificate)).fetch(None) as answer:
            assert isinstance(answer, Fetched)
        with pytest.raises(PermanentError, match="certificate"), GitProvider(GitOptions(url=url)).fetch(None):
            pass


def test_authorities_that_are_not_there_are_named(tmp_path: Path) -> None:
    options = GitOptions(url="https://example.com/settings.git", ca_file=tmp_path / "gone")
    with pytest.raises(PermanentError, match="gone can't be read"), GitProvider(options).fetch(None):
        pass
