"""The checksums that a store sends are compared with what arrived."""

import base64
import hashlib
import os
import socket
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise

import pytest

from providers.s3.checksums import KINDS, Checksum, PartsCheck, WholeCheck
from providers.s3.clients import Clients
from providers.s3.provider import S3Provider
from refresher.abilities import Check, Checked
from refresher.contract import Fetched, RemoteFile
from refresher.errors import TransientError
from tests.fakes.fault_proxy import FaultProxy, Upstream, replies
from tests.fakes.web import WebServer
from tests.providers.buckets import PART, Store

CONTENT = bytes(range(256)) * 64
ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
COMPOSITES = ("CRC32", "CRC32C", "SHA1", "SHA256")


def arrived(file: RemoteFile, *, damaged: bool = False, offset: int = 0) -> Check | None:
    """The check of a file after its bytes, as staging uses it; the first `offset` of them came with an earlier read."""
    assert isinstance(file, Checked)
    buffer = memoryview(bytearray(100_000))
    with closing(file.open(offset)) as stream:
        check = file.check()
        if check is None:
            return None
        check.update(memoryview(CONTENT[:offset]))
        while count := stream.readinto(buffer):
            buffer[0] ^= damaged
            check.update(buffer[:count])
    return check


def only_file(provider: S3Provider) -> RemoteFile:
    with provider.fetch(None) as answer:
        assert isinstance(answer, Fetched)
        return answer.files[0]


def digest_of(file: RemoteFile) -> str | None:
    return file.digest


@pytest.mark.parametrize("source", [{"key": "p/a"}, {"prefix": "p/"}], ids=["object", "prefix"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_kind_is_compared_and_damage_is_transient(store: Store, algorithm: str, source: dict[str, str]) -> None:
    store.put("p/a", CONTENT, ChecksumAlgorithm=algorithm)
    file = only_file(store.provider(**source))
    for check in (arrived(file), arrived(file, offset=7000)):
        assert check
        check.verify()
    damaged = arrived(file, damaged=True)
    assert damaged
    with pytest.raises(TransientError, match=f"a arrived damaged: its {algorithm}"):
        damaged.verify()


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_one_over_all_parts_is_compared(store: Store, algorithm: str) -> None:
    store.put_parts("a", os.urandom(PART), b"rest", algorithm=algorithm, ChecksumType="FULL_OBJECT")
    check = arrived(only_file(store.provider(key="a")))
    assert isinstance(check, WholeCheck)
    check.verify()


@pytest.mark.parametrize("algorithm", COMPOSITES)
def test_one_of_the_parts_checksums_is_compared(store: Store, algorithm: str) -> None:
    parts = (os.urandom(PART + 1), os.urandom(PART), b"rest")
    store.put_parts("a", *parts, algorithm=algorithm, ChecksumType="COMPOSITE")
    file = only_file(store.provider(key="a"))
    check, damaged = arrived(file), arrived(file, damaged=True)
    assert isinstance(check, PartsCheck)
    check.verify()
    assert damaged
    with pytest.raises(TransientError, match="damaged"):
        damaged.verify()


def test_a_store_that_lists_no_parts_is_asked_for_each(store: Store, between: FaultProxy) -> None:
    store.put_parts("a", os.urandom(PART), b"rest", algorithm="SHA256", ChecksumType="COMPOSITE")
    between.fail(replies(403, b"<Error><Code>AccessDenied</Code></Error>"), where="attributes")
    check = arrived(only_file(store.provider(key="a", endpoint_url=between.address)))
    assert check
    check.verify()
    assert len(between.asked("partNumber=")) == 2


@pytest.mark.parametrize("marker", [b"<NextPartNumberMarker>0</NextPartNumberMarker>", b""])
def test_a_list_of_parts_that_never_ends_is_left(store: Store, between: FaultProxy, marker: bytes) -> None:
    store.put_parts("a", os.urandom(PART), b"rest", algorithm="SHA256", ChecksumType="COMPOSITE")
    more = b"<ObjectParts><IsTruncated>true</IsTruncated>" + marker + b"</ObjectParts>"

    def endless(connection: socket.socket, upstream: Upstream) -> None:
        if len(between.asked("attributes")) > 3:
            between.heal()
        replies(200, b"<R>" + more + b"</R>")(connection, upstream)

    between.fail(endless, where="attributes")
    check = arrived(only_file(store.provider(key="a", endpoint_url=between.address)))
    assert check
    check.verify()
    assert len(between.asked("attributes")) == 1
    assert len(between.asked("partNumber=")) == 2


def test_a_login_that_ended_is_replaced_when_the_parts_are_asked_for(
    store: Store, between: FaultProxy, clients: Clients
) -> None:
    store.put_parts("a", os.urandom(PART), b"rest", algorithm="SHA256", ChecksumType="COMPOSITE")
    file = only_file(store.provider(key="a", endpoint_url=between.address, clients=clients))

    def expired(connection: socket.socket, upstream: Upstream) -> None:
        between.heal()
        replies(400, b"<Error><Code>ExpiredToken</Code></Error>")(connection, upstream)

    between.fail(expired, where="attributes")
    assert arrived(file)
    assert len(between.asked("attributes")) == 2


def test_without_the_sizes_of_parts_nothing_is_compared(
    store: Store, between: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    store.put_parts("a", os.urandom(PART), b"rest", algorithm="SHA256", ChecksumType="COMPOSITE")
    between.fail(replies(501, b"<Error><Code>NotImplemented</Code></Error>"), where="attributes|partNumber=")
    with caplog.at_level("INFO"):
        assert arrived(only_file(store.provider(key="a", endpoint_url=between.address))) is None
    assert "its checksum isn't compared" in caplog.text


def test_a_checksum_costs_no_request_more_where_the_body_came_whole(store: Store, between: FaultProxy) -> None:
    store.put("p/a", CONTENT, ChecksumAlgorithm="SHA256")
    assert arrived(only_file(store.provider(prefix="p/", endpoint_url=between.address)))
    assert not between.asked("HEAD")


def test_after_a_range_the_checksum_is_asked_for_by_a_head(store: Store, between: FaultProxy) -> None:
    store.put("p/a", CONTENT, ChecksumAlgorithm="SHA256")
    check = arrived(only_file(store.provider(prefix="p/", endpoint_url=between.address)), offset=100)
    assert check
    check.verify()
    assert len(between.asked("HEAD")) == 1


def test_a_checksum_of_what_was_replaced_is_not_asked_for(store: Store) -> None:
    store.put("p/a", CONTENT)
    file = only_file(store.provider(prefix="p/"))
    assert isinstance(file, Checked)
    store.put("p/a", CONTENT[::-1])
    with pytest.raises(TransientError, match="changed"):
        file.check()


def test_the_sha_256_of_an_object_is_its_promised_digest(store: Store) -> None:
    store.put("a", CONTENT, ChecksumAlgorithm="SHA256")
    assert digest_of(only_file(store.provider(key="a"))) == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


def test_no_other_checksum_and_no_etag_is_taken_for_a_digest(store: Store) -> None:
    store.put("a", CONTENT, ChecksumAlgorithm="CRC32")
    store.put_parts("b", os.urandom(PART), b"rest", algorithm="SHA256", ChecksumType="COMPOSITE")
    assert [digest_of(only_file(store.provider(key=key))) for key in "ab"] == [None, None]


def test_an_object_without_a_checksum_has_no_check(store: Store, web: WebServer) -> None:
    web.respond = lambda request: request.reply(200, {"ETag": '"a"', "Content-Length": "3"}, b"one")
    assert arrived(only_file(store.provider(key="a", endpoint_url=web.url))) is None
    assert [asked.method for asked in web.asked] == ["HEAD", "GET"]


def headers(value: str, kind: str = "crc32") -> dict[str, str]:
    return {f"x-amz-checksum-{kind}": value}


@pytest.mark.parametrize(
    "told",
    [
        {},
        headers(""),
        headers("AAAA"),
        headers("not base64"),
        headers("AAAAAA==-x"),
        headers("AAAAAA==-0"),
        headers("AAAAAA==", "xxhash64"),
    ],
)
def test_what_is_no_checksum_of_a_known_kind_is_none(told: dict[str, str]) -> None:
    assert Checksum.told(told) is None


def test_one_of_the_whole_object_goes_before_one_of_its_parts() -> None:
    whole = headers(base64.b64encode(bytes(32)).decode(), "sha256")
    found = Checksum.told({**headers("AAAAAA==-2"), **whole})
    assert found
    assert (found.kind, found.parts) == ("sha256", 0)


@pytest.mark.parametrize(
    ("kind", "value"), [("crc32", "cbf43926"), ("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")]
)
def test_the_check_values_of_the_catalogue_of_crcs_are_met(kind: str, value: str) -> None:
    computed = KINDS[kind]()
    computed.update(memoryview(b"12345"))
    computed.update(memoryview(b"6789"))
    assert computed.digest().hex() == value


def chunks(content: bytes, size: int) -> Iterator[memoryview]:
    for at in range(0, len(content), size):
        yield memoryview(content[at : at + size])


@pytest.mark.parametrize("sizes", [[10], [1, 9], [3, 3, 3, 1], [5, 5]])
@pytest.mark.parametrize("chunk", [1, 3, 4, 10])
def test_parts_end_wherever_the_chunks_do(sizes: Sequence[int], chunk: int) -> None:
    content, ends = b"0123456789", [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    parts = [content[start:end] for start, end in pairwise(ends)]
    sums = b"".join(zlib.crc32(part).to_bytes(4, "big") for part in parts)
    promised = Checksum("crc32", zlib.crc32(sums).to_bytes(4, "big"), len(sizes))
    check = PartsCheck(promised, "a", sizes)
    for each in chunks(content, chunk):
        check.update(each)
    check.verify()


def test_parts_that_came_short_are_damaged() -> None:
    promised = Checksum("crc32", zlib.crc32(zlib.crc32(b"01").to_bytes(4, "big")).to_bytes(4, "big"), 1)
    check = PartsCheck(promised, "a", [2])
    check.update(memoryview(b"0"))
    with pytest.raises(TransientError, match="damaged"):
        check.verify()
