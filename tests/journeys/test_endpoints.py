"""Thirty assets of one server that is gone, hangs or is sealed, and comes back."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from refresher.demo.openbao import OpenBao
from tests.fakes.fault_proxy import FaultProxy, sends, silence
from tests.journeys.thirty import DEADLINE, Busy, ward
from tests.waiting import until

Do = Callable[[OpenBao, FaultProxy], None]
OUTAGES: dict[str, tuple[Do, Do]] = {
    "gone": (lambda _, proxy: proxy.fail(sends(b"")), lambda _, proxy: proxy.heal()),
    "hung": (lambda _, proxy: proxy.fail(silence), lambda _, proxy: proxy.heal()),
    "sealed": (lambda bao, _: bao.seal(), lambda bao, _: bao.unseal()),
}
DEADLINES = {"hung": 2}
"""Seconds, and so those that one attempt takes while it hangs."""


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_dead_server_is_asked_by_one_of_thirty_at_a_time_and_all_are_there_soon_after_it_is_back(
    tmp_path: Path, outage: str
) -> None:
    begin, end = OUTAGES[outage]
    with ward(tmp_path, ill=begin, deadline=DEADLINES.get(outage, DEADLINE)) as one:
        until(lambda: one.failures() >= 5, within=120)
        # Those of the second to the fifth failure, and nothing between them: the sixth is twelve seconds away.
        pauses = [later.at - sooner.at for sooner, later in pairwise(one.proxy.seen[-4:])]
        assert all(pause >= 0.75 * wait for pause, wait in zip(pauses, (2, 4, 8), strict=True)), pauses
        assert one.states()["own"]["generation"] == 1
        assert f'refresher_endpoint_circuit_open{{endpoint="{one.proxy.address}"}} 1.0' in one.sidecar.metrics()
        assert "server away" in one.sidecar.command("status").stdout
        end(one.bao, one.proxy)
        until(lambda: one.sidecar.ask("POST", "/refresh/v0").status == 200, every=1)
        until(one.are_published, within=30)
        assert one.circuit() == "closed"
        said = [line["message"] for line in one.sidecar.logged_lines() if "endpoint" in line]
        assert said == [
            f"{one.proxy.address} doesn't answer: until it does, one asset at a time asks it",
            f"{one.proxy.address} answers again",
        ]


def test_no_more_assets_than_the_budget_ask_a_server_at_once(tmp_path: Path) -> None:
    busy = Busy()
    with ward(tmp_path, ill=lambda _, proxy: proxy.fail(busy), endpoints={"concurrency": 3}) as one:
        until(one.are_published, within=60)
        assert 2 <= busy.most <= 3


def test_no_more_of_them_ask_at_once_because_somebody_asks_for_all(tmp_path: Path) -> None:
    with ward(tmp_path, ill=lambda *_: None, endpoints={"concurrency": 3}) as one:
        until(one.are_published, within=60)
        busy = Busy()
        one.proxy.fail(busy)
        assert one.sidecar.ask("POST", "/refresh").status == 200
        assert 2 <= busy.most <= 3
