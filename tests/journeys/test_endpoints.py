"""Thirty assets of one server that goes away, hangs or is sealed, and comes back."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.fakes.fault_proxy import sends, silence
from tests.journeys.thirty import Busy, Ward, ward
from tests.waiting import until

OUTAGES: dict[str, tuple[Callable[[Ward], None], Callable[[Ward], None]]] = {
    "gone": (lambda one: one.proxy.fail(sends(b"")), lambda one: one.proxy.heal()),
    "hung": (lambda one: one.proxy.fail(silence), lambda one: one.proxy.heal()),
    "sealed": (lambda one: one.bao.seal(), lambda one: one.bao.unseal()),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_dead_server_is_asked_by_one_of_thirty_at_a_time_and_all_are_fresh_soon_after_it_is_back(
    tmp_path: Path, outage: str
) -> None:
    begin, end = OUTAGES[outage]
    with ward(tmp_path) as one:
        begin(one)
        until(lambda: one.failures() >= 2, within=60)
        before, looks = len(one.proxy.seen), one.looks()
        until(lambda: one.failures() >= 5, within=120)
        probes = one.proxy.seen[before:]
        assert len(probes) == 3
        pauses = [later.at - sooner.at for sooner, later in pairwise(probes)]
        assert all(pause >= 0.75 * wait for pause, wait in zip(pauses, (4, 8), strict=True))
        assert one.looks()["own"] > looks["own"] + 3
        assert f'refresher_endpoint_circuit_open{{endpoint="{one.proxy.address}"}} 1.0' in one.sidecar.metrics()
        assert f"server away: {one.proxy.address}" in one.sidecar.command("status").stdout.replace("\n  ", " ")
        end(one)
        assert one.sidecar.ask("POST", "/refresh/v0").status == 200
        until(lambda: one.are_all_looked_at(looks), within=30)
        said = [line["message"] for line in one.sidecar.logged_lines() if "endpoint" in line]
        assert said == [
            f"{one.proxy.address} doesn't answer: until it does, one asset at a time asks it",
            f"{one.proxy.address} answers again",
        ]


def test_no_more_assets_than_the_budget_ask_a_server_at_once(tmp_path: Path) -> None:
    with ward(tmp_path, endpoints={"concurrency": 3}) as one:
        busy = Busy()
        before = one.looks()
        one.proxy.fail(busy)
        until(lambda: one.are_all_looked_at(before), within=60)
        assert 2 <= busy.most <= 3
