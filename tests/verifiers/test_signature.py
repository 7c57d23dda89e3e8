import base64
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from refresher.contract import Finding
from refresher.errors import PermanentError, RejectedError
from refresher.verifiers.signature import WHOLE_FILE_LIMIT, SignatureOptions, SignatureVerifier
from tests.fakes.candidate import FakeCandidate, HugeCandidate, UnreadableCandidate

SHA256 = hashes.SHA256()
SIGNED = b"the list of digests\n"
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()
PSS = padding.PSS(padding.MGF1(SHA256), padding.PSS.MAX_LENGTH)

KEYS = {
    "ed25519": (ED25519, ED25519.sign(SIGNED)),
    "ecdsa": (P256, P256.sign(SIGNED, ec.ECDSA(SHA256))),
    "rsa-pkcs1": (RSA, RSA.sign(SIGNED, padding.PKCS1v15(), SHA256)),
    "rsa-pss": (RSA, RSA.sign(SIGNED, PSS, SHA256)),
}
Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | dsa.DSAPrivateKey


def verifier(directory: Path, key: Key) -> SignatureVerifier:
    path = directory / "key.pub"
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    options = {"file": "LIST", "signature": "LIST.sig", "public_key": {"file": str(path)}}
    return SignatureVerifier(SignatureOptions.model_validate(options))


def candidate(signature: bytes, signed: bytes = SIGNED) -> FakeCandidate:
    return FakeCandidate({"LIST": signed, "LIST.sig": signature})


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    "written", [bytes, base64.b64encode, base64.encodebytes], ids=["as it is", "base64", "base64 in lines"]
)
def test_a_good_signature_is_accepted(tmp_path: Path, kind: str, written: type[bytes]) -> None:
    key, signature = KEYS[kind]
    assert verifier(tmp_path, key).verify(candidate(written(signature))) == Finding()


@pytest.mark.parametrize("kind", KEYS)
def test_another_content_is_refused(tmp_path: Path, kind: str) -> None:
    key, signature = KEYS[kind]
    with pytest.raises(RejectedError, match=r"LIST\.sig is not a signature of LIST by the key .*key\.pub"):
        verifier(tmp_path, key).verify(candidate(signature, SIGNED + b"x"))


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("signature", [b"", b"AAAA", b"\0" * 64, b"\xff" * 256, base64.b64encode(b"x" * 64)])
def test_what_is_no_signature_at_all_is_refused(tmp_path: Path, kind: str, signature: bytes) -> None:
    with pytest.raises(RejectedError, match="is not a signature"):
        verifier(tmp_path, KEYS[kind][0]).verify(candidate(signature))


def test_a_signature_by_another_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="is not a signature"):
        verifier(tmp_path, ec.generate_private_key(ec.SECP256R1())).verify(candidate(KEYS["ecdsa"][1]))


def test_what_openssl_signs_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    argv = ["openssl", "dgst", "-sha256", "-sign", tmp_path / "key"]
    signature = subprocess.run(argv, input=SIGNED, capture_output=True, check=True).stdout
    assert verifier(tmp_path, P256).verify(candidate(signature))


@pytest.mark.parametrize("missing", ["LIST", "LIST.sig"])
def test_a_missing_file_is_refused(tmp_path: Path, missing: str) -> None:
    files = {"LIST": SIGNED, "LIST.sig": KEYS["ecdsa"][1]}
    del files[missing]
    with pytest.raises(RejectedError, match=f"{missing} is missing"):
        verifier(tmp_path, P256).verify(FakeCandidate(files))


def test_a_file_of_any_size_signed_by_ecdsa_is_not_read_again(tmp_path: Path) -> None:
    class OnlyTheSignature(UnreadableCandidate):
        def open(self, name: str):  # type: ignore[no-untyped-def]
            return FakeCandidate.open(self, name) if name == "LIST.sig" else super().open(name)

    assert verifier(tmp_path, P256).verify(OnlyTheSignature({"LIST": SIGNED, "LIST.sig": KEYS["ecdsa"][1]}))


def test_a_file_too_big_for_ed25519_is_refused_with_what_to_do(tmp_path: Path) -> None:
    class Big(FakeCandidate):
        @property
        def files(self):  # type: ignore[no-untyped-def]
            huge = HugeCandidate({"LIST": SIGNED}, size=WHOLE_FILE_LIMIT + 1)
            return super().files | {"LIST": huge.files["LIST"]}

    with pytest.raises(
        RejectedError, match="LIST has 67108865 bytes, too many for Ed25519: sign the list of digests instead"
    ):
        verifier(tmp_path, ED25519).verify(Big({"LIST": SIGNED, "LIST.sig": KEYS["ed25519"][1]}))


def test_a_huge_signature_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="sig has 1000000000000 bytes"):
        verifier(tmp_path, P256).verify(HugeCandidate({"LIST": SIGNED, "LIST.sig": b""}))


def test_a_key_that_cannot_be_used_refuses_nothing_for_good(tmp_path: Path) -> None:
    verifies = verifier(tmp_path, P256)
    (tmp_path / "key.pub").write_text("no key")
    with pytest.raises(PermanentError, match=r"key\.pub is not a public key in PEM form"):
        verifies.verify(candidate(KEYS["ecdsa"][1]))
    (tmp_path / "key.pub").unlink()
    with pytest.raises(PermanentError, match=r"key\.pub can't be read: No such file"):
        verifies.verify(candidate(KEYS["ecdsa"][1]))
    (tmp_path / "key.pub").write_bytes(b" " * 100_000)
    with pytest.raises(PermanentError, match="larger than"):
        verifies.verify(candidate(KEYS["ecdsa"][1]))


def test_a_key_of_another_kind_refuses_nothing_for_good(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="neither an Ed25519, an EC nor an RSA key"):
        verifier(tmp_path, dsa.generate_private_key(2048)).verify(candidate(b""))
