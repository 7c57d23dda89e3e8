"""A small object names the prefix that is fetched."""

from contextlib import ExitStack, closing

import pytest
from pydantic import ValidationError

from providers.s3.clients import Clients
from providers.s3.options import S3Options
from refresher.contract import Fetched, Provider, Unchanged
from refresher.demo.process import free_port
from refresher.errors import PermanentError, TransientError
from refresher.testing import ProviderContract
from tests.fakes.fault_proxy import FaultProxy, half, silence
from tests.providers.buckets import Store
from tests.providers.reading import content, fetched, holding, left_after


class TestAPointer(ProviderContract):
    @pytest.fixture(autouse=True)
    def _source(self, store: Store) -> None:
        self.store = store
        store.put("fraud/7/model.bin", b"0123456789" * 5000)
        store.put("fraud/7/below/labels.txt", b"first")
        store.put("fraud/8/model.bin", b"9876543210" * 5000)
        store.put("fraud/LATEST", b"fraud/7/\n")

    def provider(self) -> Provider:
        return self.store.provider(current="fraud/LATEST")

    def change(self) -> None:
        self.store.put("fraud/LATEST", b"fraud/8")

    def missing_provider(self) -> Provider:
        return self.store.provider(current="fraud/MISSING")

    def unreachable_provider(self) -> Provider:
        return self.store.provider(current="a", endpoint_url=f"http://127.0.0.1:{free_port()}")


@pytest.fixture
def models(store: Store) -> Store:
    for version in (7, 8):
        store.put(f"fraud/{version}/model.bin", b"model")
        store.put(f"fraud/{version}/below/labels.txt", b"labels")
    store.put("fraud/LATEST", b"fraud/7")
    return store


def test_names_are_relative_to_the_prefix_that_it_names(models: Store) -> None:
    _, files = fetched(models.provider(current="fraud/LATEST"))
    assert files == {"model.bin": b"model", "below/labels.txt": b"labels"}


def test_another_target_with_the_same_files_is_another_revision(models: Store) -> None:
    before, _ = fetched(models.provider(current="fraud/LATEST"))
    models.put("fraud/LATEST", b"fraud/8")
    assert fetched(models.provider(current="fraud/LATEST"))[0] != before


def test_one_that_is_written_again_with_the_same_target_changes_nothing(models: Store) -> None:
    before, _ = fetched(models.provider(current="fraud/LATEST"))
    models.put("fraud/LATEST", b"  fraud/7/\r\n")
    with models.provider(current="fraud/LATEST").fetch(holding(before)) as answer:
        assert isinstance(answer, Unchanged)


def test_an_unchanged_one_costs_itself_and_a_listing(models: Store, between: FaultProxy) -> None:
    provider = models.provider(current="fraud/LATEST", endpoint_url=between.address)
    revision, _ = fetched(provider)
    between.seen.clear()
    with provider.fetch(holding(revision)) as answer:
        assert isinstance(answer, Unchanged)
    assert [seen.method for seen in between.seen] == ["GET", "GET"]


def test_one_that_is_switched_midway_is_transient(models: Store) -> None:
    with pytest.raises(TransientError, match="changed"):
        left_after(models.provider(current="fraud/LATEST"), lambda: models.put("fraud/LATEST", b"fraud/8"))


def test_what_it_named_stays_readable_until_the_end_of_the_look(models: Store) -> None:
    with ExitStack() as look:
        answer = look.enter_context(models.provider(current="fraud/LATEST").fetch(None))
        models.put("fraud/LATEST", b"fraud/8")
        assert isinstance(answer, Fetched)
        assert sorted(content(file) for file in answer.files) == [b"labels", b"model"]
        with pytest.raises(TransientError):
            look.close()


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"/", "is empty"),
        (b"fraud/7\nfraud/8", "one line"),
        (b"fraud/../other", "one line"),
        (b"./fraud", "one line"),
        (b"/fraud/7", "one line"),
        (b"fraud//7", "one line"),
        (b"fraud/\x007", "one line"),
        ("fraud/\u202e7".encode(), "one line"),
        (b"\x80\x81", "not text"),
        (b"x" * 1025, "larger than 1024 bytes"),
        (b"fraud/9", "fraud/9/ has no objects"),
    ],
)
def test_one_that_names_no_prefix_with_objects_is_permanent(models: Store, target: bytes, says: str) -> None:
    models.put("fraud/LATEST", target)
    with pytest.raises(PermanentError, match=says):
        fetched(models.provider(current="fraud/LATEST"))


def test_a_huge_one_is_not_read(models: Store, between: FaultProxy) -> None:
    models.put("fraud/LATEST", b"x" * 5_000_000)
    with pytest.raises(PermanentError, match="larger"):
        fetched(models.provider(current="fraud/LATEST", endpoint_url=between.address))


def test_one_that_breaks_off_is_transient(models: Store, between: FaultProxy) -> None:
    between.fail(half, where="LATEST")
    with pytest.raises(TransientError, match="reached"):
        fetched(models.provider(current="fraud/LATEST", endpoint_url=between.address))


def test_one_that_never_comes_is_transient(models: Store, between: FaultProxy) -> None:
    between.fail(silence, where="LATEST")
    with closing(Clients(read_timeout=0.3)) as clients, pytest.raises(TransientError, match="reached"):
        fetched(models.provider(current="fraud/LATEST", endpoint_url=between.address, clients=clients))


@pytest.mark.parametrize(
    "options",
    [{"key": "b"}, {"prefix": "b/"}, {"name": "b"}, {"version_id": "b"}, {"current": "b/"}, {"current": "../b"}],
)
def test_options_beside_it_that_make_no_sense_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        S3Options(**{"bucket": "b", "current": "a", **options})  # type: ignore[arg-type]
