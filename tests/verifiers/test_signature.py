import base64
import contextlib
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from refresher.contract import Finding
from refresher.errors import PermanentError, RejectedError
from refresher.verifiers.signature import WHOLE_FILE_LIMIT, SignatureOptions, SignatureVerifier
from refresher.verifiers.signed import signature_in
from tests.fakes.candidate import FakeCandidate, HugeCandidate, UnreadableCandidate

SHA256 = hashes.SHA256()
SIGNED = b"the list of digests\n"
DATED = b"# version: 17\n" + SIGNED
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


@pytest.mark.parametrize(
    ("generated", "signed_with"),
    [
        (["genpkey", "-algorithm", "ed25519"], ["pkeyutl", "-sign", "-rawin", "-inkey", "key", "-in", "LIST"]),
        (["genpkey", "-algorithm", "RSA"], ["dgst", "-sha256", "-sign", "key", "LIST"]),
        (
            ["genpkey", "-algorithm", "RSA"],
            ["dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sign", "key", "LIST"],
        ),
        (["ecparam", "-name", "prime256v1", "-genkey", "-noout"], ["dgst", "-sha256", "-sign", "key", "LIST"]),
        (["ecparam", "-name", "secp384r1", "-genkey", "-noout"], ["dgst", "-sha256", "-sign", "key", "LIST"]),
    ],
    ids=["ed25519", "rsa", "rsa-pss", "p256", "p384"],
)
def test_keys_and_signatures_all_of_openssl_are_accepted(
    tmp_path: Path, generated: list[str], signed_with: list[str]
) -> None:
    def openssl(*arguments: str) -> bytes:
        return subprocess.run(["openssl", *arguments], cwd=tmp_path, capture_output=True, check=True).stdout

    (tmp_path / "LIST").write_bytes(DATED)
    openssl(*generated, "-out", "key")
    openssl("pkey", "-in", "key", "-pubout", "-out", "key.pub")
    signature = openssl(*signed_with)
    options = {"file": "LIST", "signature": "LIST.sig", "public_key": {"file": str(tmp_path / "key.pub")}}
    checks = SignatureVerifier(SignatureOptions.model_validate(options))
    assert checks.verify(candidate(signature, DATED)) == Finding()
    with pytest.raises(RejectedError, match="is not a signature"):
        checks.verify(candidate(signature, DATED.replace(b"17", b"16")))


def bundle(signature: bytes, **changes: Any) -> dict[str, Any]:
    """As `cosign sign-blob --key cosign.key --bundle` writes it: Sigstore's bundle.proto, version 0.3, as JSON."""
    digest = {"algorithm": "SHA2_256", "digest": base64.b64encode(hashlib.sha256(SIGNED).digest()).decode()}
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": "aGludA=="}, "tlogEntries": [{"logIndex": "1"}]},
        "messageSignature": {"messageDigest": digest, "signature": base64.b64encode(signature).decode()} | changes,
    }


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_in_a_bundle_is_accepted(tmp_path: Path, kind: str) -> None:
    key, signature = KEYS[kind]
    older = {"base64Signature": base64.b64encode(signature).decode(), "cert": "", "rekorBundle": {}}
    for written in (bundle(signature), older, bundle(signature, messageDigest=None)):
        assert verifier(tmp_path, key).verify(candidate(json.dumps(written, indent=1).encode())) == Finding()


def test_what_a_bundle_says_of_the_digest_proves_nothing(tmp_path: Path) -> None:
    written = json.dumps(bundle(KEYS["ecdsa"][1])).encode()
    with pytest.raises(RejectedError, match="is not a signature"):
        verifier(tmp_path, P256).verify(candidate(written, SIGNED + b"x"))


@pytest.mark.parametrize("written", [{}, {"messageSignature": "x"}, {"dsseEnvelope": {}}, {"base64Signature": "?"}])
def test_a_bundle_that_signs_no_file_is_refused(tmp_path: Path, written: dict[str, Any]) -> None:
    with pytest.raises(RejectedError, match=r"LIST\.sig is a bundle without a signature of a file"):
        verifier(tmp_path, P256).verify(candidate(json.dumps(written).encode()))


def test_a_bundle_over_another_digest_is_refused_with_the_reason(tmp_path: Path) -> None:
    written = json.dumps(bundle(KEYS["ecdsa"][1], messageDigest={"algorithm": "SHA2_384"})).encode()
    with pytest.raises(RejectedError, match="signs another digest than SHA-256"):
        verifier(tmp_path, P256).verify(candidate(written))


@pytest.mark.parametrize("binary", [b"{" + b"\x01" * 63, b"{}" + b"\xff" * 70, b"[" * 100_000])
def test_a_binary_signature_that_begins_like_a_bundle_is_taken_as_it_is(binary: bytes) -> None:
    assert signature_in(binary, "LIST.sig") == binary


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(list(bundle(b"x"))), inner),
)


@given(JSON | st.builds(bundle, st.binary(), messageDigest=JSON))
def test_any_bundle_is_either_read_or_refused(written: Any) -> None:
    with contextlib.suppress(RejectedError):
        assert isinstance(signature_in(json.dumps(written).encode(), "LIST.sig"), bytes)


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
