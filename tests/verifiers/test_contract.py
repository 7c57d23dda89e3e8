"""The built-in verifiers keep what the conformance kit asks of everybody's."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from refresher.contract import Verifier
from refresher.testing import VerifierContract
from refresher.verifiers.certificate import CertificateVerifier
from refresher.verifiers.checksums import ChecksumsVerifier
from refresher.verifiers.document import DocumentVerifier
from refresher.verifiers.model import ModelVerifier
from refresher.verifiers.signature import SignatureVerifier
from tests.certificates import NOON, Authority
from tests.fakes.model_formats import safetensors

ROOT = Authority.root()
LEAF = ROOT.issue("web.example.com")
KEY = Ed25519PrivateKey.generate()


def made(kind: type[Any], **options: object) -> Verifier:
    verifier: Verifier = kind(kind.Options.model_validate(options))
    return verifier


class TestChecksums(VerifierContract):
    def verifier(self) -> Verifier:
        return made(ChecksumsVerifier, file="SHA256SUMS")

    def good(self) -> Mapping[str, bytes]:
        return {"a": b"x", "SHA256SUMS": f"{hashlib.sha256(b'x').hexdigest()}  a\n".encode()}

    def bad(self) -> Mapping[str, bytes]:
        return {**self.good(), "a": b"y"}


class TestDocument(VerifierContract):
    @pytest.fixture(autouse=True)
    def _schema(self, tmp_path: Path) -> None:
        self.schema = tmp_path / "schema.json"
        self.schema.write_text('{"required": ["port"]}')

    def verifier(self) -> Verifier:
        return made(DocumentVerifier, files=["*"], schema={"file": self.schema})

    def good(self) -> Mapping[str, bytes]:
        return {"a.json": b'{"port": 1}', "b.yaml": b"port: 1\n", "c.toml": b"port = 1\n"}

    def bad(self) -> Mapping[str, bytes]:
        return {"a.json": b"{}"}

    def unable_verifier(self) -> Verifier:
        return made(DocumentVerifier, files=["*"], schema={"file": self.schema.with_name("gone")})


class TestSignature(VerifierContract):
    @pytest.fixture(autouse=True)
    def _key(self, tmp_path: Path) -> None:
        self.key = tmp_path / "key.pub"
        self.key.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def of(self, key: Path) -> Verifier:
        return made(SignatureVerifier, file="LIST", signature="LIST.sig", public_key={"file": key})

    def verifier(self) -> Verifier:
        return self.of(self.key)

    def good(self) -> Mapping[str, bytes]:
        return {"LIST": b"a list", "LIST.sig": KEY.sign(b"a list")}

    def bad(self) -> Mapping[str, bytes]:
        return {**self.good(), "LIST": b"another"}

    def unable_verifier(self) -> Verifier:
        return self.of(self.key.with_name("gone"))


class TestCertificate(VerifierContract):
    def verifier(self) -> Verifier:
        return made(CertificateVerifier, names=["web.example.com"])

    def now(self) -> datetime:
        return NOON

    def good(self) -> Mapping[str, bytes]:
        return {"tls.crt": LEAF.pem, "tls.key": LEAF.key_pem, "ca.crt": ROOT.pem}

    def bad(self) -> Mapping[str, bytes]:
        return {**self.good(), "tls.key": ROOT.issue("web.example.com").key_pem}


class TestModel(VerifierContract):
    def verifier(self) -> Verifier:
        return made(ModelVerifier)

    def good(self) -> Mapping[str, bytes]:
        return {"model.safetensors": safetensors()}

    def bad(self) -> Mapping[str, bytes]:
        return {"model.safetensors": safetensors()[:-1]}
