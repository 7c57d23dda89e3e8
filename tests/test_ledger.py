"""What is remembered, and what is not believed."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from refresher.contract import Lease, StagedFile
from refresher.ledger import (
    REMEMBERED_REFUSALS,
    Holding,
    Ledger,
    Refusal,
    Told,
    dump_ledger,
    dump_manifest,
    load_ledger,
    load_manifest,
)
from refresher.model import Generation, Outcome, Result, digest_of
from tests.fakes.source import NOON

FILES = {"a/b": StagedFile(size=1, digest="sha256:00", sensitive=True)}
GENERATION = Generation(
    asset="web",
    number=7,
    revision="r",
    digest=digest_of(FILES),
    files=FILES,
    source="s",
    checks="c",
    minted=False,
    fetched_at=NOON,
    published_at=NOON,
)
LEDGER = Ledger(
    last_generation=7,
    shown=6,
    told={"app": Told(generation=6, at=NOON)},
    refused=(Refusal(revision="r", digest="d", checks="c", reason="bad"),),
    lease=Lease(id="l", granted_at=NOON, duration=timedelta(hours=1), renewable=True),
    pinned=6,
    outcome=Outcome(asset="web", result=Result.UNCHANGED, started_at=NOON, finished_at=NOON),
)


def test_what_is_written_is_read() -> None:
    assert load_ledger(dump_ledger(LEDGER)) == LEDGER
    assert load_manifest(dump_manifest(GENERATION)) == GENERATION


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..data/x", "", "a/../b", "a\0b", "x" * 300, "."])
def test_a_manifest_with_a_name_that_leads_outside_is_not_believed(name: str) -> None:
    written = json.loads(dump_manifest(GENERATION))
    written["files"] = {name: written["files"]["a/b"]}
    assert load_manifest(json.dumps(written).encode()) is None


@pytest.mark.parametrize(
    "planted",
    [
        {"files": {}},
        {"published_at": "2026-01-01T00:00:00"},
        {"expires_at": "2026-01-01T00:00:00"},
        {"number": "x"},
        {"expires_at": "9999-12-31T23:59:59-14:00"},
        {"valid_from": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_a_manifest_that_nothing_of_ours_wrote_is_not_believed(planted: dict[str, Any]) -> None:
    written = json.loads(dump_manifest(GENERATION)) | planted
    assert load_manifest(json.dumps(written).encode()) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"[" * 100_000, b"\xff\xfe", b"1" * 5000])
def test_nonsense_is_not_believed(content: bytes) -> None:
    assert load_ledger(content) is None
    assert load_manifest(content) is None


OUTCOME = json.loads(dump_ledger(LEDGER))["outcome"]


@pytest.mark.parametrize(
    ("key", "planted"),
    [
        ("told", {"app": {"generation": 1, "at": "2026-01-01T00:00:00", "refused": None}}),
        ("lease", {"id": "l", "granted_at": "2026-01-01T00:00:00Z", "duration": "-P999999D", "renewable": True}),
        ("lease", {"id": "l", "granted_at": "2026-01-01T00:00:00", "duration": "PT1H", "renewable": True}),
        ("changes_at", "9999-12-31T23:59:59-14:00"),
        ("outcome", {**OUTCOME, "as_of": "2026-01-01T00:00:00"}),
        ("outcome", {**OUTCOME, "finished_at": "0001-01-01T00:00:00+14:00"}),
    ],
)
def test_a_ledger_with_impossible_times_is_not_believed(key: str, planted: Any) -> None:
    written = json.loads(dump_ledger(LEDGER)) | {key: planted}
    assert load_ledger(json.dumps(written).encode()) is None


def test_the_oldest_refusals_are_forgotten() -> None:
    ledger = Ledger()
    for number in range(REMEMBERED_REFUSALS + 1):
        ledger = ledger.with_refusal(Refusal(revision=f"r{number}", digest="", checks="c", reason="bad"))
    assert ledger.refusal(revision="r0", digest=None, checks="c") is None
    assert ledger.refusal(revision="r1", digest=None, checks="c") is not None
    assert ledger.refusal(revision="r1", digest=None, checks="other") is None


def test_the_same_refusal_takes_one_place() -> None:
    ledger = Ledger()
    for number in range(REMEMBERED_REFUSALS + 1):
        ledger = ledger.with_refusal(Refusal(revision="r1", digest="d", checks="c", reason=f"bad {number}"))
    for other in ({"revision": "r2"}, {"digest": "e"}, {"checks": "b"}):
        ledger = ledger.with_refusal(replace(ledger.refused[0], **other))
    assert [refusal.reason for refusal in ledger.refused] == [f"bad {REMEMBERED_REFUSALS}"] * 4


def test_a_lease_of_ten_thousand_years_ends_at_the_last_moment_and_is_remembered() -> None:
    lease = Lease(id="l", granted_at=NOON, duration=timedelta(days=3_650_000), renewable=True)
    ledger = replace(LEDGER, lease=lease)
    assert load_ledger(dump_ledger(ledger)) == ledger
    generation = replace(GENERATION, leased_until=lease.expires_at)
    assert load_manifest(dump_manifest(generation)) == generation
    assert Holding(current=generation, ledger=ledger).expires_at == datetime.max.replace(tzinfo=UTC)
