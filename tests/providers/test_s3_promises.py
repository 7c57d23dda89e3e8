"""Versions of a model below prefixes of their own: what a switch costs, counted at the real store."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from refresher import cycle
from refresher.contract import FileSet
from refresher.model import Asset, NamedVerifier, Outcome, Result, Wish
from refresher.verifiers.checksums import ChecksumsOptions, ChecksumsVerifier
from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.models import content
from tests.fakes.source import Source, Time, asset, read
from tests.providers.buckets import Store

LIST = "SHA256SUMS"
V1 = {f"part-{number:02}": content(64 * 1024, seed=number) for number in range(32)}
V2 = {**V1, "part-07": content(64 * 1024, seed=77)}


class Models:
    """The store's models, whose files are asked for through a proxy that sees each request."""

    def __init__(self, store: Store, between: FaultProxy, volume: Path) -> None:
        self.store, self.between, self.volume = store, between, volume

    def put(self, version: str, files: Mapping[str, bytes], *, says: bytes | None = None) -> None:
        """The files of a version and their list, which says what is true unless it is told to say otherwise."""
        for name, data in {**files, LIST: sums(files) if says is None else says}.items():
            self.store.put(f"models/{version}/{name}", data)

    def switch(self, version: str) -> None:
        self.store.put("models/CURRENT", f"models/{version}/".encode())

    def asset(self, verifier: ChecksumsVerifier | None = None) -> Asset:
        provider = self.store.provider(current="models/CURRENT", endpoint_url=self.between.address)
        sums = verifier or ChecksumsVerifier(ChecksumsOptions(file=LIST))
        return asset(
            self.volume, Source(), provider=provider, verifiers=(NamedVerifier(name="checksums", verifier=sums),)
        )

    def refreshed(self, verifier: ChecksumsVerifier | None = None) -> tuple[Outcome, list[str]]:
        """What came of a refresh, and the objects below a version that were read for it."""
        self.between.seen.clear()
        outcome = cycle.refresh(self.asset(verifier), wish=Wish.LOOK, clock=Time()).outcome
        paths = [seen.path.partition("?")[0] for seen in self.between.seen if "/models/v" in seen.path]
        return outcome, sorted(path.rpartition("/")[2] for path in paths)

    def published(self) -> dict[str, bytes]:
        return read(self.volume / "web")


class Interrupted(ChecksumsVerifier):
    """Something happens when the list has come, and before anything else does."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__(ChecksumsOptions(file=LIST))
        self._happens = happens

    def promised(self, lists: FileSet) -> Mapping[str, str]:
        self._happens()
        return super().promised(lists)


def sums(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items()).encode()


@pytest.fixture
def models(store: Store, between: FaultProxy, tmp_path: Path) -> Models:
    made = Models(store, between, tmp_path)
    made.put("v1", V1)
    made.switch("v1")
    outcome, asked = made.refreshed()
    assert outcome.result is Result.PUBLISHED, outcome
    assert asked == sorted([LIST, *V1])
    return made


def test_switching_to_a_version_costs_its_list_and_the_files_that_are_new(models: Models) -> None:
    models.put("v2", V2)
    models.switch("v2")
    outcome, asked = models.refreshed()
    assert (outcome.result, asked) == (Result.PUBLISHED, [LIST, "part-07"])
    assert outcome.fetched_bytes == len(sums(V2)) + len(V2["part-07"])
    assert models.published() == V2 | {LIST: sums(V2)}


def test_switching_back_to_a_version_that_is_kept_costs_nothing(models: Models) -> None:
    models.put("v2", V2)
    for version in ("v2", "v1"):
        models.switch(version)
        outcome, asked = models.refreshed()
    assert (outcome.result, asked) == (Result.PUBLISHED, [])
    assert models.published() == V1 | {LIST: sums(V1)}


def test_a_version_whose_content_an_earlier_generation_has_costs_its_list(models: Models) -> None:
    models.put("v2", V2)
    models.put("v3", V1)
    for version in ("v2", "v3"):
        models.switch(version)
        outcome, asked = models.refreshed()
    assert (outcome.result, asked) == (Result.PUBLISHED, [LIST])
    assert models.published() == V1 | {LIST: sums(V1)}


def test_a_list_that_lies_gets_the_version_rejected(models: Models) -> None:
    models.put("v2", {**V1, "part-07": b"short"}, says=sums(V1))
    models.switch("v2")
    outcome, asked = models.refreshed()
    assert (outcome.result, asked) == (Result.REJECTED, [LIST, "part-07"])
    assert str(outcome.error) == f"checksums: {LIST}: files differ from their listed digests: part-07"
    assert models.published() == V1 | {LIST: sums(V1)}


def test_a_version_whose_list_is_missing_is_fetched_and_rejected(models: Models) -> None:
    for name, data in V1.items():
        models.store.put(f"models/v2/{name}", data)
    models.switch("v2")
    outcome, asked = models.refreshed()
    assert (outcome.result, asked) == (Result.REJECTED, sorted(V1))
    assert f"{LIST} is missing" in str(outcome.error)


def test_a_list_that_changes_once_it_has_come_publishes_nothing(models: Models) -> None:
    models.put("v2", V2)
    models.switch("v2")
    outcome, _ = models.refreshed(Interrupted(lambda: models.put("v2", V1)))
    assert (outcome.result, outcome.error_class) == (Result.FAILED, "TransientError")
    assert models.published() == V1 | {LIST: sums(V1)}
    outcome, asked = models.refreshed()
    assert (outcome.result, asked) == (Result.UNCHANGED, [LIST])
