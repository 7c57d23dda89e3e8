import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from refresher.contract import Fetched, Held, Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError, TransientError
from tests.certificates import DAY, NOON, Authority
from tests.fakes.candidate import FakeFiles
from tests.fakes.web import Request, WebServer, web_server
from tests.providers.vault_sources import Source, Sources, contents, looked_at, published, unique

ISSUER = Authority.root("issuer")
LEAF = ISSUER.issue("web.example.com")


@pytest.fixture(scope="module", params=["pki", "a/b/pki"])
def mount(bao: OpenBao, request: pytest.FixtureRequest) -> str:
    name = unique(request.param)
    bao.pki(name, "web")
    bao.write(f"{name}/roles/unstored", {"allow_any_name": True, "key_type": "ec", "key_bits": 256, "no_store": True})
    return name


@pytest.fixture
def source(bao: OpenBao, tmp_path: Path, mount: str) -> Sources:
    given = {"path": f"{mount}/issue/web", "data": {"common_name": "web.example.com"}}
    return lambda **options: Source(bao, tmp_path, **given | options)


@pytest.mark.parametrize("path", ["issue/web", "issuer/default/issue/web"])
def test_a_good_certificate_is_left_alone_and_nothing_issued(
    bao: OpenBao, source: Sources, mount: str, path: str
) -> None:
    web = source(path=f"{mount}/{path}")
    found = web.fetched()
    before = len(bao.requests(mount))
    assert web.look(looked_at(found), published=published(found)) == Unchanged()
    assert bao.requests(mount)[before:] == [f"read {mount}/cert/{found.revision.replace(':', '-')}"]


def test_a_revoked_certificate_is_replaced_at_the_next_look_and_said(
    bao: OpenBao, source: Sources, mount: str, caplog: pytest.LogCaptureFixture
) -> None:
    web = source()
    found = web.fetched()
    bao.write(f"{mount}/revoke", {"serial_number": found.revision})
    before = len(bao.requests(f"{mount}/issue/"))
    with caplog.at_level(logging.WARNING):
        replaced = web.fetched(looked_at(found), published=published(found))
    assert replaced.revision != found.revision
    assert len(bao.requests(f"{mount}/issue/")) == before + 1
    assert f"certificate {found.revision} of {mount}/issue/web was revoked" in caplog.text
    assert web.look(looked_at(replaced), published=published(replaced)) == Unchanged()


def test_a_due_certificate_is_issued_without_a_look(bao: OpenBao, source: Sources, mount: str) -> None:
    web = source()
    found = web.fetched()
    before = len(bao.requests(mount))
    web.fetched(Held(revision=found.revision, digests={}, due=True))
    assert bao.requests(mount)[before:] == [f"update {mount}/issue/web"]


def test_one_that_is_not_stored_is_looked_for_in_the_list_of_revoked_ones(
    bao: OpenBao, source: Sources, mount: str
) -> None:
    for path, crl in (("issue/unstored", "cert/crl"), ("issuer/default/issue/unstored", "issuer/default/crl")):
        web = source(path=f"{mount}/{path}")
        found = web.fetched()
        before = len(bao.requests(mount))
        assert web.look(looked_at(found), published=published(found)) == Unchanged()
        serial = found.revision.replace(":", "-")
        assert bao.requests(mount)[before:] == [f"read {mount}/cert/{serial}", f"read {mount}/{crl}"]


def test_one_that_is_not_stored_is_replaced_when_it_is_revoked(bao: OpenBao, source: Sources, mount: str) -> None:
    web = source(path=f"{mount}/issue/unstored")
    found = web.fetched()
    bao.write(f"{mount}/revoke", {"certificate": contents(found)["tls.crt"].decode()})
    assert web.fetched(looked_at(found), published=published(found)).revision != found.revision


def test_what_has_no_serial_number_is_not_looked_for(bao: OpenBao, source: Sources, mount: str) -> None:
    before = len(bao.requests(mount))
    assert source().look(Held(revision="sha256:abc", digests={}, due=False)) == Unchanged()
    assert bao.requests(mount)[before:] == []


class Vault:
    """Answers as an engine does that keeps no certificates; `crl` is what it revoked, `status` its mood."""

    def __init__(self, crl: str) -> None:
        self.crl, self.status = crl, 200

    def __call__(self, request: Request) -> None:
        if self.status != 200:
            self._say(request, self.status, {"errors": ["no"]})
        elif request.path == "/v1/pki/cert/crl":
            self._say(request, 200, {"data": {"certificate": self.crl, "revocation_time": 0}})
        elif request.path == "/v1/auth/token/lookup-self":
            self._say(request, 200, {"data": {"ttl": 0, "renewable": False}})
        elif request.command == "POST":
            self._say(request, 200, {"data": _issued()})
        else:
            self._say(request, 404, {"errors": []})

    def _say(self, request: Request, status: int, body: object) -> None:
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        request.reply(status, body=json.dumps(body).encode())


def _issued() -> dict[str, str]:
    anew = ISSUER.issue("web.example.com")
    pem = {"certificate": anew.pem.decode(), "issuing_ca": ISSUER.pem.decode(), "private_key": anew.key_pem.decode()}
    return pem | {"serial_number": serial_of(anew.certificate)}


def serial_of(certificate: x509.Certificate) -> str:
    return certificate.serial_number.to_bytes(20).hex(":")


def revoking(*revoked: x509.Certificate, by: Authority = ISSUER) -> str:
    builder = x509.CertificateRevocationListBuilder(by.certificate.subject, NOON, NOON + DAY)
    for each in revoked:
        entry = x509.RevokedCertificateBuilder(each.serial_number, NOON).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.fixture
def vault() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


def look(bao: OpenBao, tmp_path: Path, vault: WebServer, *, visible: dict[str, bytes]) -> Fetched | Unchanged:
    source = Source(bao, tmp_path, address=vault.url, path="pki/issue/web", data={"common_name": "web"})
    held = Held(revision=serial_of(LEAF.certificate), digests={}, due=False)
    return source.look(held, published=FakeFiles(visible))


VISIBLE = {"tls.crt": LEAF.pem, "ca.crt": ISSUER.pem}


@pytest.mark.parametrize("visible", [VISIBLE, {}], ids=["issuer known", "issuer unknown"])
def test_one_on_the_list_of_its_issuer_is_replaced(
    bao: OpenBao, tmp_path: Path, vault: WebServer, visible: dict[str, bytes]
) -> None:
    vault.respond = Vault(revoking(LEAF.certificate))
    assert isinstance(look(bao, tmp_path, vault, visible=visible), Fetched)


@pytest.mark.parametrize(
    "crl",
    [
        revoking(),
        revoking(ISSUER.issue("other.example.com").certificate),
        revoking(LEAF.certificate, by=Authority.root("other issuer")),
        revoking(LEAF.certificate, by=Authority.root("issuer")),
        "no list",
        "",
    ],
    ids=["empty", "another leaf", "another issuer", "another key", "unreadable", "nothing"],
)
def test_a_list_that_does_not_speak_for_the_issuer_or_of_the_leaf_revokes_nothing(
    bao: OpenBao, tmp_path: Path, vault: WebServer, crl: str
) -> None:
    vault.respond = Vault(crl)
    assert look(bao, tmp_path, vault, visible=VISIBLE) == Unchanged()
    assert [each.method for each in vault.asked if each.path.startswith("/v1/pki")] == ["GET", "GET"]


@pytest.mark.parametrize(("status", "error"), [(503, TransientError), (400, PermanentError)])
def test_trouble_while_looking_is_like_any_other(
    bao: OpenBao, tmp_path: Path, vault: WebServer, status: int, error: type[Exception]
) -> None:
    answers = Vault(revoking())

    def respond(request: Request) -> None:
        answers.status = status if "/pki/" in request.path else 200
        answers(request)

    vault.respond = respond
    with pytest.raises(error, match=str(status)):
        look(bao, tmp_path, vault, visible=VISIBLE)
