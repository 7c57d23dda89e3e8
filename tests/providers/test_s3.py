import time
from contextlib import closing

import pytest
from pydantic import ValidationError

from providers.s3.clients import Clients
from providers.s3.options import S3Options
from providers.s3.provider import S3Provider
from refresher.contract import Fetched, Provider, Unchanged
from refresher.demo.process import free_port
from refresher.errors import PermanentError, TransientError
from refresher.testing import ProviderContract
from tests.fakes.raw_server import raw_server
from tests.fakes.web import Request, WebServer
from tests.providers.buckets import Store
from tests.providers.dripping import dripping
from tests.providers.reading import content, fetched, holding, left_after, opened_after


class TestOneObject(ProviderContract):
    @pytest.fixture(autouse=True)
    def _source(self, store: Store) -> None:
        self.store = store
        store.put("dir/model.bin", b"0123456789" * 50_000)

    def provider(self) -> Provider:
        return self.store.provider(key="dir/model.bin")

    def change(self) -> None:
        self.store.put("dir/model.bin", b"another content")

    def missing_provider(self) -> Provider:
        return self.store.provider(key="dir/missing")

    def unreachable_provider(self) -> Provider:
        return self.store.provider(key="a", endpoint_url=f"http://127.0.0.1:{free_port()}")

    def silent_provider(self, host: str, port: int) -> Provider:
        hasty = Clients(read_timeout=0.3)
        return self.store.provider(key="a", endpoint_url=f"http://{host}:{port}", clients=hasty)


class TestAnObjectOfAVersionedBucket(TestOneObject):
    @pytest.fixture(autouse=True)
    def _source(self, store: Store) -> None:
        self.store = store
        store.client.put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"})
        store.put("dir/model.bin", b"0123456789" * 500)


class TestAPrefix(TestOneObject):
    @pytest.fixture(autouse=True)
    def _source(self, store: Store) -> None:
        self.store = store
        store.put("current/", b"")
        store.put("current/a.txt", b"first")
        store.put("current/below/b.txt", b"second")
        store.put("current2/c.txt", b"not ours")

    def provider(self) -> Provider:
        return self.store.provider(prefix="current/")

    def change(self) -> None:
        self.store.put("current/below/b.txt", b"changed")

    def missing_provider(self) -> Provider:
        return self.store.provider(prefix="missing/")


def test_a_prefix_gives_paths_below_it_without_directory_markers(store: Store) -> None:
    for key in ("p/", "p/a", "p/sub/", "p/sub/b c+d%", "pq/x"):
        store.put(key, b"" if key.endswith("/") else key.encode())
    assert fetched(store.provider(prefix="p/"))[1] == {"a": b"p/a", "sub/b c+d%": b"p/sub/b c+d%"}


def test_a_prefix_that_changes_while_it_is_fetched_is_transient(store: Store) -> None:
    store.put("p/a", b"one")

    with pytest.raises(TransientError, match="changed"):
        left_after(store.provider(prefix="p/"), lambda: store.put("p/b", b"two"))


@pytest.mark.parametrize("source", [{"key": "p/a"}, {"prefix": "p/"}])
@pytest.mark.parametrize("offset", [0, 2])
def test_an_object_replaced_before_it_is_read_is_transient(store: Store, source: dict[str, str], offset: int) -> None:
    store.put("p/a", b"one two")
    with pytest.raises(TransientError, match=r"412|changed"):
        opened_after(store.provider(**source), lambda: store.put("p/a", b"two one"), offset)


def test_an_object_deleted_before_it_is_read_is_transient(store: Store) -> None:
    store.put("a", b"one")

    def delete() -> None:
        store.client.delete_object(Bucket=store.bucket, Key="a")

    with pytest.raises(TransientError, match="changed"):
        opened_after(store.provider(key="a"), delete)


def test_a_version_stays_readable_while_a_newer_one_arrives(store: Store) -> None:
    store.client.put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"})
    first = store.put("a", b"one")
    with store.provider(key="a").fetch(None) as answer:
        assert isinstance(answer, Fetched)
        assert answer.revision == first
        store.put("a", b"two")
        assert content(answer.files[0]) == b"one"
    assert fetched(store.provider(key="a", version_id=first)) == (first, {"a": b"one"})


def test_a_key_can_be_renamed(store: Store) -> None:
    store.put("dir/a", b"one")
    assert fetched(store.provider(key="dir/a", name="b"))[1] == {"b": b"one"}


def test_a_missing_bucket_is_permanent(store: Store) -> None:
    with pytest.raises(PermanentError, match="NoSuchBucket"):
        fetched(store.provider(bucket="no-such-bucket", prefix=""))


def test_refused_credentials_are_permanent_and_looked_up_anew(
    store: Store, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a", b"one")
    provider = store.provider(key="a", clients=clients)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(PermanentError) as refused:
        fetched(provider)
    assert "wrong-secret" not in str(refused.value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.server.secret_key)
    assert fetched(provider)[1] == {"a": b"one"}


def test_no_credentials_are_permanent(store: Store, clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(PermanentError, match="NoCredentials"):
        fetched(store.provider(key="a", clients=clients))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_store_is_transient_and_asked_once(store: Store, web: WebServer, status: int) -> None:
    web.respond = lambda request: request.reply(status, {"Retry-After": "7"})
    with pytest.raises(TransientError) as error:
        fetched(store.provider(prefix="", endpoint_url=web.url))
    assert error.value.retry_after is not None
    assert error.value.retry_after.total_seconds() == 7
    assert len(web.asked) == 1


def test_an_unchanged_object_costs_one_head(store: Store, web: WebServer) -> None:
    web.respond = lambda request: request.reply(200, {"ETag": '"a"', "Content-Length": "100000"})
    with store.provider(key="a", endpoint_url=web.url).fetch(holding('"a"')) as answer:
        assert isinstance(answer, Unchanged)
    assert [asked.method for asked in web.asked] == ["HEAD"]


def test_a_body_that_ends_early_is_transient(store: Store, web: WebServer) -> None:
    def cut(request: Request) -> None:
        request.reply(200, {"ETag": '"a"', "Content-Length": "1000"}, b"x" * 400)
        request.break_off()

    web.respond = cut
    with pytest.raises(TransientError, match=r"400 of 1000|ConnectionClosedError"):  # whichever end notices first
        fetched(store.provider(key="a", endpoint_url=web.url))


def test_urls_become_options() -> None:
    assert S3Provider.from_url("s3://b/dir/key") == {"bucket": "b", "key": "dir/key"}
    assert S3Provider.from_url("s3://b/dir/") == {"bucket": "b", "prefix": "dir/"}
    assert S3Provider.from_url("s3://b") == {"bucket": "b", "prefix": ""}


@pytest.mark.parametrize("url", ["s3:///key", "s3://id:secret@bucket/key", "s3://b/k?versionId=1", "http://b/k"])
def test_urls_that_are_no_bucket_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket/key"):
        S3Provider.from_url(url)


@pytest.mark.parametrize(
    "options",
    [
        {"key": "a", "prefix": "b/"},
        {},
        {"prefix": "b"},
        {"prefix": "b/", "name": "c"},
        {"prefix": "b/", "version_id": "c"},
        {"key": "a/"},
        {"key": "a", "endpoint_url": "http://id:secret@host"},
        {"key": "a", "endpoint_url": "host:9000"},
        {"key": "a", "extra": "x"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        S3Options(**{"bucket": "b", **options})


@pytest.mark.parametrize("options", [{"key": "a"}, {"prefix": "p/"}], ids=["head", "listing"])
def test_headers_that_drip_for_ever_are_transient(store: Store, options: dict[str, str]) -> None:
    drip = dripping(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x")
    with raw_server(drip) as url, closing(Clients(read_timeout=0.3)) as clients:
        started = time.monotonic()
        with pytest.raises(TransientError, match="ReadTimeout"):
            fetched(store.provider(clients=clients, endpoint_url=url, **options))
    assert time.monotonic() - started < 20


def test_chunk_sizes_of_a_body_that_drip_for_ever_are_transient(store: Store, web: WebServer) -> None:
    head = b'HTTP/1.1 200 OK\r\nETag: "a"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3;x='

    def answer(request: Request) -> None:
        if request.command == "HEAD":
            request.reply(200, {"ETag": '"a"', "Content-Length": "10"})
        else:
            dripping(head, b"0")(request.connection)

    web.respond = answer
    with closing(Clients(read_timeout=3.0)) as clients:
        started = time.monotonic()
        with pytest.raises(TransientError, match="broke off after 3 of 10 bytes"):
            fetched(store.provider(clients=clients, endpoint_url=web.url, key="a"))
    assert time.monotonic() - started < 20
