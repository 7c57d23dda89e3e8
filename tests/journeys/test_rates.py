"""Limits of our own, on real transfers: kept together and each, unfair to nobody."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from refresher.demo.caddy import Caddy
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until

MiB = 2**20


@pytest.fixture
def url_of(caddy: Caddy) -> Iterator[Callable[[int], str]]:
    """Makes a file of that many bytes, and answers where it is."""
    made: list[Path] = []

    def make(size: int) -> str:
        made.append(caddy.root / f"{uuid4().hex}.bin")
        made[-1].write_bytes(bytes(size))
        return f"{caddy.url}/{made[-1].name}"

    yield make
    for path in made:
        path.unlink()


def seconds(tmp_path: Path, configuration: dict[str, Any]) -> dict[str, float]:
    """How long each asset took in `once`; fails the test if one wasn't published."""
    sidecar = Sidecar(tmp_path, configuration, {})
    ended = sidecar.command("once")
    assert ended.returncode == 0, ended.stderr
    sidecar.log.write_text(ended.stderr)
    return {line["asset"]: line["duration"] for line in sidecar.logged_lines()}


def test_an_asset_keeps_its_rate_and_its_own_waiting_is_not_blamed_on_the_source(
    tmp_path: Path, url_of: Callable[[int], str]
) -> None:
    asset = {
        "source": url_of(12 * MiB),
        "limits": {"max_rate": "2MiB", "min_rate": "1GiB"},
        "refresh": {"timeout": "3s"},
    }
    took = seconds(tmp_path, {"assets": {"model": asset}})
    assert 4.9 < took["model"] < 30


def test_two_assets_share_one_rate(tmp_path: Path, url_of: Callable[[int], str]) -> None:
    assets = {name: {"source": url_of(4 * MiB)} for name in ("one", "other")}
    took = seconds(tmp_path, {"transfers": {"max_rate": "2MiB"}, "assets": assets})
    # Each alone would take 1 s, and both together 3.
    assert 2 < max(took.values()) < 30


def test_a_small_file_does_not_wait_behind_a_large_one(
    tmp_path: Path, caddy: Caddy, url_of: Callable[[int], str]
) -> None:
    late = caddy.root / f"{uuid4().hex}.bin"
    small = {"source": f"{caddy.url}/{late.name}", "refresh": {"every": 0}}
    assets = {"model": {"source": url_of(8 * MiB)}, "small": small}
    with running(tmp_path, {"transfers": {"max_rate": "64KiB"}, "assets": assets}) as sidecar:
        until(lambda: (sidecar.state("model")["transfer"] or {}).get("received", 0) > MiB)
        until(lambda: sidecar.state("small")["result"] == "failed")
        late.write_bytes(bytes(MiB))
        began = time.monotonic()
        assert sidecar.ask("POST", "/refresh/small").json()["result"] == "published"
        # At that rate it takes 16 s, and as many until the model has paid for what it was given.
        assert time.monotonic() - began < 8
        assert sidecar.state("model")["transfer"]
    late.unlink()
