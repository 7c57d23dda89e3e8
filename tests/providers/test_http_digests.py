"""Digests that HTTP servers send, RFC 9530."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.digests import digests_of
from refresher.abilities import Checked
from refresher.errors import TransientError
from tests.fakes.web import Page, WebServer, web_server
from tests.providers.reading import rest
from tests.providers.test_http_parts import described

BODY = b'{"hello": "world"}\n'
SHA256 = f"sha-256=:{b64encode(hashlib.sha256(BODY).digest()).decode()}:"
SHA512 = f"sha-512=:{b64encode(hashlib.sha512(BODY).digest()).decode()}:"
OTHER256 = f"sha-256=:{b64encode(hashlib.sha256(b'other').digest()).decode()}:"
OTHER512 = f"sha-512=:{b64encode(hashlib.sha512(b'other').digest()).decode()}:"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


def checked(web: WebServer, **headers: str) -> None:
    """Fetch, and let the file's own check see it all."""
    web.respond = Page(BODY, etag='"a"', headers={name.replace("_", "-"): value for name, value in headers.items()})
    with described(web.url + "/file") as file, closing(file.open()) as stream:
        assert isinstance(file, Checked)
        check = file.check()
        assert check is not None
        check.update(memoryview(rest(stream)))
        check.verify()


def promised(web: WebServer, **headers: str) -> tuple[str | None, bool]:
    """The promised digest, and whether there is another check."""
    web.respond = Page(BODY, etag='"a"', headers={name.replace("_", "-"): value for name, value in headers.items()})
    with described(web.url + "/file") as file:
        return file.digest, file.check() is not None


def test_a_sha_256_of_the_representation_or_of_its_content_is_the_promised_digest(web: WebServer) -> None:
    expected = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
    assert promised(web, Repr_Digest=SHA256) == (expected, False)
    assert promised(web, Content_Digest=SHA256) == (expected, False)
    assert promised(web, Repr_Digest=f"md5=:AAAA:, {SHA512}, {SHA256};x=1", Content_Digest=SHA256) == (expected, False)


def test_a_sha_512_alone_is_checked_while_the_file_arrives(web: WebServer) -> None:
    assert promised(web, Repr_Digest=SHA512) == (None, True)
    checked(web, Repr_Digest=SHA512)
    checked(web, Content_Digest=SHA512)


def test_a_sha_512_that_does_not_hold_is_transient(web: WebServer) -> None:
    with pytest.raises(TransientError, match="SHA-512"):
        checked(web, Repr_Digest=OTHER512)


def test_a_file_without_digests_promises_none(web: WebServer) -> None:
    assert promised(web) == (None, False)


def test_a_server_is_asked_for_digests_only_if_the_configuration_says_so(web: WebServer) -> None:
    web.respond = Page(BODY, etag='"a"')
    with described(web.url + "/file"), described(web.url + "/file", headers={"Want-Repr-Digest": "sha-256=10"}):
        assert [asked.headers.get("want-repr-digest") for asked in web.asked] == [None, "sha-256=10"]


def test_two_digests_that_contradict_each_other_are_transient(web: WebServer) -> None:
    with pytest.raises(TransientError, match="contradict"):
        promised(web, Repr_Digest=SHA256, Content_Digest=OTHER256)


@pytest.mark.parametrize(
    "field",
    [
        "",
        "sha-256",
        "sha-256=abc",
        'sha-256="X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="',
        "sha-256=:AAAA:",
        "sha-256=:not base64:",
        SHA256[:-1],
        f"{SHA256},",
        f"SHA-256{SHA256.removeprefix('sha-256')}",
        f"({SHA256})",
        "sha-256=(:AAAA: :BBBB:)",
        "sha=:AAAA:, md5=:AAAA:, unixsum=30637, adler=:AAAA:",
        "\xff\x00",
    ],
)
def test_what_is_no_digest_that_counts_is_left_out(field: str) -> None:
    assert digests_of(field) == {}


@given(st.text(st.characters(max_codepoint=255)))
def test_no_field_breaks_the_reading_of_digests(field: str) -> None:
    assert digests_of(field).keys() <= {"sha-256", "sha-512"}


@given(st.binary(min_size=32, max_size=32))
def test_every_digest_is_read_as_it_was_written(digest: bytes) -> None:
    assert digests_of(f"sha-256=:{b64encode(digest).decode()}:") == {"sha-256": digest}
