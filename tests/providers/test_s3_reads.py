"""One object's content: pinned, in ranges, over connections of our own, with botocore's signature."""

import logging
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import cast

import pytest

from providers.s3.clients import Clients
from refresher.abilities import Ranged, Versioned
from refresher.contract import Fetched, Provider, RemoteFile, Unchanged
from refresher.errors import PermanentError, TransientError
from tests.fakes.fault_proxy import Fault, FaultProxy, Upstream, half, half_a_head, replies, silence
from tests.fakes.web import Request, WebServer
from tests.providers.buckets import Store
from tests.providers.reading import content, fetched, holding, opened_after, rest

CONTENT = bytes(range(256)) * 64


def error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def files(provider: Provider) -> list[RemoteFile]:
    with provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        return list(answer.files)


def revision(file: RemoteFile) -> str:
    assert isinstance(file, Versioned)
    return file.revision


def part(file: RemoteFile, offset: int, size: int) -> bytes:
    assert isinstance(file, Ranged)
    with closing(file.open_range(offset, size)) as stream:
        return rest(stream)


@pytest.mark.parametrize("source", [{"key": "dir/a b+c%é"}, {"prefix": "dir/"}], ids=["object", "prefix"])
def test_a_range_is_exactly_its_bytes(store: Store, source: dict[str, str]) -> None:
    store.put("dir/a b+c%é", CONTENT)
    file = files(store.provider(**source))[0]
    assert cast(Ranged, file).ranged
    assert [part(file, *span) for span in ((0, 1), (1000, 500), (16383, 1))] == [
        CONTENT[:1],
        CONTENT[1000:1500],
        CONTENT[16383:],
    ]


def test_ranges_are_read_side_by_side_over_a_few_connections(store: Store) -> None:
    store.put("a", CONTENT)
    file = files(store.provider(key="a"))[0]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda at: part(file, at, 64), range(0, len(CONTENT), 64)))
    assert b"".join(parts) == CONTENT


def test_a_range_of_what_was_replaced_is_transient(store: Store) -> None:
    store.put("a", CONTENT)
    file = files(store.provider(key="a"))[0]
    store.put("a", CONTENT[::-1])
    with pytest.raises(TransientError, match="changed"):
        part(file, 0, 10)


def test_a_range_of_a_version_stays_readable_while_a_newer_one_arrives(store: Store) -> None:
    store.versioned()
    store.put("a", CONTENT)
    file = files(store.provider(key="a"))[0]
    store.put("a", b"other")
    assert part(file, 256, 10) == CONTENT[:10]


@pytest.mark.parametrize("span", ["bytes 1-10/16384", "bytes 0-9/99", "items 0-9/16384", ""])
def test_an_answer_with_another_range_than_asked_is_transient(store: Store, web: WebServer, span: str) -> None:
    def answer(request: Request) -> None:
        facts = {"ETag": '"a"', "Content-Length": "16384"}
        if request.command == "HEAD":
            request.reply(200, facts)
        else:
            request.reply(206, {**facts, "Content-Length": "10", "Content-Range": span}, b"0123456789")

    web.respond = answer
    with pytest.raises(TransientError, match="changed"):
        part(files(store.provider(key="a", endpoint_url=web.url))[0], 0, 10)


@pytest.mark.parametrize("offset", [0, 4])
def test_another_object_from_a_store_that_ignores_the_pin_is_transient(
    store: Store, web: WebServer, offset: int
) -> None:
    def answer(request: Request) -> None:
        if request.command == "HEAD":
            request.reply(200, {"ETag": '"a"', "Content-Length": "10"})
        else:
            span = {"Content-Range": f"bytes {offset}-9/10"} if offset else {}
            request.reply(206 if offset else 200, {"ETag": '"b"', **span}, b"0123456789"[offset:])

    web.respond = answer
    with pytest.raises(TransientError, match="changed"):
        content(files(store.provider(key="a", endpoint_url=web.url))[0], offset)


def test_the_whole_where_a_range_was_asked_for_is_transient(store: Store, web: WebServer) -> None:
    web.respond = lambda request: request.reply(200, {"ETag": '"a"', "Content-Length": "10"}, b"0123456789")
    with pytest.raises(TransientError, match="200"):
        part(files(store.provider(key="a", endpoint_url=web.url))[0], 0, 10)


def test_equal_revisions_are_equal_bytes_and_others_are_others(store: Store) -> None:
    store.put("p/a", b"one")
    store.put("p/b", b"one")
    before = {file.name: revision(file) for file in files(store.provider(prefix="p/"))}
    store.put("p/b", b"two")
    after = {file.name: revision(file) for file in files(store.provider(prefix="p/"))}
    assert before["a"] == after["a"]
    assert len({before["a"], before["b"], after["b"]}) == 3


def test_a_version_is_part_of_a_files_revision(store: Store) -> None:
    store.versioned()
    store.put("a", b"one")
    first = revision(files(store.provider(key="a"))[0])
    store.put("a", b"one")
    assert revision(files(store.provider(key="a"))[0]) != first


def test_every_header_that_a_read_depends_on_is_signed_and_no_url_holds_a_signature(
    store: Store, web: WebServer
) -> None:
    web.respond = lambda request: request.reply(200, {"ETag": '"a"', "Content-Length": "3"}, b"one")
    fetched(store.provider(key="a", endpoint_url=web.url, request_payer="requester"))
    read = web.asked[-1]
    assert (read.method, read.path) == ("GET", f"/{store.bucket}/a")
    found = re.search(r"SignedHeaders=([a-z0-9;-]+)", read.headers["authorization"])
    assert found
    assert set(found[1].split(";")) >= {"host", "if-match", "x-amz-checksum-mode", "x-amz-request-payer"}


def test_who_pays_is_said_with_each_request(store: Store, web: WebServer) -> None:
    listing = (
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><ETag>&quot;a&quot;</ETag>"
        b"<Size>3</Size></Contents></ListBucketResult>"
    )

    def answer(request: Request) -> None:
        request.reply(200, {"ETag": '"a"'}, listing if "list-type" in request.path else b"one")

    web.respond = answer
    fetched(store.provider(prefix="", endpoint_url=web.url, request_payer="requester"))
    assert [asked.headers["x-amz-request-payer"] for asked in web.asked] == ["requester"] * 3


def test_thousands_of_objects_are_listed_a_thousand_a_request(store: Store, between: FaultProxy) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put(f"p/{number:05}", b"%d" % number), range(2100)))
    provider = store.provider(prefix="p/", endpoint_url=between.address)
    with provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        assert len({file.name for file in answer.files}) == 2100
        assert content(answer.files[-1]) == b"2099"
        held = holding(answer.revision)
    seen = len(between.seen)
    with provider.fetch(held) as answer:
        assert isinstance(answer, Unchanged)
    assert len(between.seen) - seen == 3


def test_an_object_of_a_prefix_is_asked_for_once(store: Store, between: FaultProxy) -> None:
    for key in ("p/a", "p/b"):
        store.put(key, b"one")
    fetched(store.provider(prefix="p/", endpoint_url=between.address))
    assert [seen.method for seen in between.seen] == ["GET"] * 4
    assert len(between.asked("list-type=2")) == 2


ENDLESS = b"<IsTruncated>true</IsTruncated><NextContinuationToken>a</NextContinuationToken>"


@pytest.mark.parametrize(
    "listing",
    [
        b"<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>1</Size><ETag>a&#10;b: c</ETag></Contents></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        b"<ListBucketResult>%b</ListBucketResult>" % ENDLESS,
    ],
    ids=["no-etag", "line-break", "no-token", "same-token"],
)
def test_what_is_no_listing_is_permanent(store: Store, web: WebServer, listing: bytes) -> None:
    web.respond = lambda request: request.reply(200, {}, listing)
    with pytest.raises(PermanentError, match=r"isn't what S3's API|never ends"):
        fetched(store.provider(prefix="", endpoint_url=web.url))


def test_a_page_for_people_is_transient(store: Store, web: WebServer) -> None:
    web.respond = lambda request: request.reply(200, {}, b"<html><p>Back soon<br></html>")
    with pytest.raises(TransientError):
        fetched(store.provider(prefix="", endpoint_url=web.url))


def test_a_head_without_an_etag_is_permanent(store: Store, web: WebServer) -> None:
    web.respond = lambda request: request.reply(200)
    with pytest.raises(PermanentError, match="isn't what S3's API"):
        fetched(store.provider(key="a", endpoint_url=web.url))


def test_an_object_deleted_midway_is_transient(store: Store) -> None:
    for key in ("p/a", "p/b"):
        store.put(key, b"one")
    with pytest.raises(TransientError, match="changed"):
        opened_after(store.provider(prefix="p/"), lambda: store.client.delete_object(Bucket=store.bucket, Key="p/a"))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (half, "broke off after 8192 of 16384 bytes"),
        (half_a_head, "can't be reached|changed|broke off after 0"),
        (silence, "in time"),
        (replies(500, error("InternalError")), "InternalError"),
        (replies(307, error("TemporaryRedirect"), Location="http://127.0.0.1:1/"), "TemporaryRedirect"),
    ],
)
def test_a_body_that_goes_wrong_is_transient(store: Store, between: FaultProxy, fault: Fault, says: str) -> None:
    store.put("a", CONTENT)
    between.fail(fault, where="GET")
    with closing(Clients(read_timeout=3.0)) as clients:
        started = time.monotonic()
        with pytest.raises(TransientError, match=says):
            fetched(store.provider(key="a", endpoint_url=between.address, clients=clients))
    assert time.monotonic() - started < 20


def test_a_store_that_asks_for_patience_is_given_it(store: Store, between: FaultProxy) -> None:
    store.put("a", CONTENT)
    between.fail(replies(503, error("SlowDown"), Retry_After="7"), where="GET")
    with pytest.raises(TransientError, match="SlowDown") as slow:
        fetched(store.provider(key="a", endpoint_url=between.address))
    assert slow.value.retry_after is not None
    assert slow.value.retry_after.total_seconds() == 7
    assert len(between.asked("GET")) == 1


def test_an_archived_object_is_permanent_and_says_what_to_do(store: Store, between: FaultProxy) -> None:
    store.put("a", CONTENT)
    between.fail(replies(403, error("InvalidObjectState")), where="GET")
    with pytest.raises(PermanentError, match="archived: it has to be restored"):
        fetched(store.provider(key="a", endpoint_url=between.address))


@pytest.mark.parametrize("body", [b"", b"<Code>", b"\xff" * 200_000, error("A" * 500)])
def test_a_refusal_without_a_code_is_permanent(store: Store, between: FaultProxy, body: bytes) -> None:
    store.put("a", CONTENT)
    between.fail(replies(400, body), where="GET")
    with pytest.raises(PermanentError, match=r"answers  \(400\)"):
        fetched(store.provider(key="a", endpoint_url=between.address))


def test_bodies_follow_the_region_that_botocore_found(store: Store, web: WebServer) -> None:
    def answer(request: Request) -> None:
        facts = {"ETag": '"a"', "x-amz-bucket-region": "eu-west-1"}
        if "/eu-west-1/s3/" in request.headers["Authorization"]:
            request.reply(200, facts, b"one")
        else:
            request.reply(301, facts, error("PermanentRedirect"))

    web.respond = answer
    assert fetched(store.provider(key="a", endpoint_url=web.url)) == ('"a"', {"a": b"one"})
    assert [asked.method for asked in web.asked] == ["HEAD", "HEAD", "GET"]


def test_a_login_that_ended_midway_is_replaced_within_the_read(
    store: Store, between: FaultProxy, clients: Clients
) -> None:
    store.put("a", CONTENT)
    with store.provider(key="a", endpoint_url=between.address, clients=clients).fetch(None) as answer:
        assert isinstance(answer, Fetched)
        refused_once(between, "ExpiredToken")
        assert content(answer.files[0]) == CONTENT
    assert [seen.method for seen in between.seen] == ["HEAD", "GET", "GET"]


def test_a_login_that_stays_refused_is_permanent_and_asked_for_twice(
    store: Store, between: FaultProxy, clients: Clients
) -> None:
    store.put("a", CONTENT)
    between.fail(replies(403, error("InvalidAccessKeyId")), where="GET")
    with pytest.raises(PermanentError, match="InvalidAccessKeyId"):
        fetched(store.provider(key="a", endpoint_url=between.address, clients=clients))
    assert len(between.asked("GET")) == 2


def refused_once(between: FaultProxy, code: str) -> None:
    def fault(connection: socket.socket, upstream: Upstream) -> None:
        between.heal()
        replies(403, error(code))(connection, upstream)

    between.fail(fault, where="GET")


def test_no_log_line_and_no_error_holds_a_signature_or_a_key(
    store: Store, between: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("a", CONTENT)
    between.fail(replies(400, error("BadRequest")), where="GET")
    with caplog.at_level(logging.DEBUG, logger="urllib3"), pytest.raises(PermanentError) as refused:
        fetched(store.provider(key="a", endpoint_url=between.address))
    shown = f"{caplog.text} {refused.value!r} {refused.value.__cause__!r}"
    assert f"GET /{store.bucket}/a" in shown
    assert not re.search(r"Signature|AWS4|X-Amz", shown, re.IGNORECASE)
    assert store.server.secret_key not in shown
