"""Verifiers of one source among several."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from refresher import cycle
from refresher.abilities import Promising
from refresher.contract import Candidate, Finding
from refresher.errors import PermanentError, RejectedError
from refresher.model import Asset, NamedVerifier, Outcome, Result, Wish
from refresher.sources import Sources, of_source
from refresher.verifiers.checksums import ChecksumsOptions, ChecksumsVerifier
from refresher.verifiers.document import DocumentOptions, DocumentVerifier
from tests.fakes.source import NOON, Judge, Source, Time, asset
from tests.sources.test_together import Big


@dataclass
class Curious:
    """A verifier that notes what it is shown."""

    def __post_init__(self) -> None:
        self.seen: list[object] = []

    def verify(self, candidate: Candidate) -> Finding:
        published = sorted(candidate.published.files) if candidate.published else None
        with candidate.open("flags.json") as file:
            self.seen = [candidate.asset, candidate.now, sorted(candidate.files), published, file.read()]
        return Finding(expires_at=NOON + timedelta(days=1))


@pytest.fixture
def flags() -> Source:
    return Source({"flags.json": b"{}"}, revision="1")


def of(volume: Path, verifier: NamedVerifier, **sources: Source) -> Asset:
    together = Sources(sources, timeout=timedelta(seconds=60))
    return asset(volume, together, verifiers=(verifier,))  # type: ignore[arg-type]


def refreshed(web: Asset) -> Outcome:
    return cycle.refresh(web, wish=Wish.LOOK, clock=Time()).outcome


def test_a_verifier_of_one_source_sees_its_files_alone_under_their_own_names(tmp_path: Path, flags: Source) -> None:
    curious = Curious()
    web = of(tmp_path, NamedVerifier(name="curious", verifier=of_source("flags", curious)), flags=flags, db=Source())
    refreshed(web)
    assert curious.seen == ["web", NOON, ["flags.json"], None, b"{}"]
    flags.put("2", flags_json=b"{ }")
    refreshed(web)
    assert curious.seen == ["web", NOON, ["flags.json"], ["flags.json"], b"{ }"]


def test_what_it_finds_counts_for_the_whole(tmp_path: Path, flags: Source) -> None:
    web = of(tmp_path, NamedVerifier(name="curious", verifier=of_source("flags", Curious())), flags=flags)
    holding = cycle.refresh(web, wish=Wish.LOOK, clock=Time()).holding
    assert holding is not None
    assert holding.expires_at == NOON + timedelta(days=1)


def test_its_reason_says_which_source(tmp_path: Path, flags: Source) -> None:
    flags.files = {"flags.json": b"{"}
    document = DocumentVerifier(DocumentOptions())
    web = of(tmp_path, NamedVerifier(name="document", verifier=of_source("flags", document)), flags=flags, db=Source())
    outcome = refreshed(web)
    assert outcome.result is Result.REJECTED
    assert outcome.error is not None
    assert outcome.error.startswith("document: flags: flags.json")


def test_a_check_that_can_not_be_made_stays_one(flags: Source, tmp_path: Path) -> None:
    judge = Judge(trouble=PermanentError("no roots"))
    web = of(tmp_path, NamedVerifier(name="judge", verifier=of_source("flags", judge)), flags=flags)
    assert (refreshed(web).error_class, refreshed(web).error) == ("PermanentError", "no roots")


def listed(**files: bytes) -> dict[str, bytes]:
    lines = (f"{hashlib.sha256(content).hexdigest()}  {name}.bin\n" for name, content in files.items())
    return {"SHA256SUMS": "".join(lines).encode(), **{f"{name}.bin": content for name, content in files.items()}}


def test_what_a_list_promises_of_its_own_source_is_not_fetched_again(tmp_path: Path) -> None:
    checksums = of_source("model", ChecksumsVerifier(ChecksumsOptions(file="SHA256SUMS")))
    assert isinstance(checksums, Promising)
    model = Big(listed(one=b"1" * 100, two=b"2" * 100), revision="1")
    web = of(tmp_path, NamedVerifier(name="checksums", verifier=checksums), model=model, db=Source())
    assert refreshed(web).result is Result.PUBLISHED
    model.files, model.revision, model.opened = listed(one=b"1" * 100, two=b"3" * 100), "2", []
    assert refreshed(web).result is Result.PUBLISHED
    assert sorted(model.opened) == ["SHA256SUMS", "two.bin"]


def test_one_that_promises_nothing_does_not_pretend_to() -> None:
    assert not isinstance(of_source("flags", Judge()), Promising)


def test_a_rejection_keeps_its_kind() -> None:
    with pytest.raises(RejectedError):
        of_source("flags", ChecksumsVerifier(ChecksumsOptions(file="gone"))).verify(Empty())


class Empty:
    """A candidate without files."""

    asset, now, published = "web", NOON, None
    files: ClassVar[dict[str, object]] = {}

    def open(self, name: str) -> object:
        raise KeyError(name)
