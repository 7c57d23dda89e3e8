"""The plan beside the sidecar that it is about."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from refresher.demo.process import free_port
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.traces import traces
from tests.waiting import until


def source_in(directory: Path) -> Path:
    """In a directory of its own: what else is written beside it would be a reason to look."""
    source = directory / "source/app.conf"
    source.parent.mkdir()
    source.write_text("one")
    return source


def planned(sidecar: Sidecar) -> Mapping[str, Mapping[str, Any]]:
    ended = sidecar.command("plan", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    return {plan["asset"]: plan for plan in json.loads(ended.stdout)}


def test_the_plan_of_a_running_sidecar_is_its_own_wherever_the_volume_tells(tmp_path: Path, pki: Pki) -> None:
    source = source_in(tmp_path)
    configuration = pki.configuration(
        web=pki.asset(ttl="24h", refresh={"every": 0}),  # the first look after it would be written down
        short=pki.asset(ttl="1h", refresh={"renew_at": "10m"}),
        conf={"source": f"file://{source}", "refresh": {"every": "1h"}},
        asked={"source": f"file://{source}", "refresh": {"every": 0}, "publish": {"directory": "asked"}},
        down={"source": f"http://127.0.0.1:{free_port()}/x", "required": False},
    )
    with running(tmp_path, configuration) as sidecar:
        names = ("web", "short", "conf", "asked")
        until(lambda: all(sidecar.state(name)["generation"] for name in names))
        until(lambda: sidecar.state("down")["consecutive_failures"])
        before, requests = traces(sidecar.volume / "web"), pki.issued()
        plans = planned(sidecar)
        for name in ("web", "short", "asked"):
            state = sidecar.state(name)
            own = (state["next_refresh_at"], state["why_next"], state["generation"], state["expires_at"])
            held = plans[name]["held"]
            told = (plans[name]["next_refresh_at"], plans[name]["why_next"], held["generation"], held["expires_at"])
            assert told == own, name
        assert [name for name in names if plans[name]["exact"]] == ["web", "short", "asked"]
        own = sidecar.state("conf")
        assert plans["conf"]["why_next"] == "interval" == own["why_next"]
        assert plans["conf"]["earliest"] <= own["next_refresh_at"] <= plans["conf"]["latest"]
        assert not plans["down"]["exact"]
        assert plans["down"]["why_next"] == "retry" == sidecar.state("down")["why_next"]
        own_retry = datetime.fromisoformat(sidecar.state("down")["next_refresh_at"])
        assert own_retry <= datetime.fromisoformat(plans["down"]["latest"])
        assert (traces(sidecar.volume / "web"), pki.issued()) == (before, requests)


def test_after_a_restart_the_interval_lies_within_the_planned_span(tmp_path: Path) -> None:
    source = source_in(tmp_path)
    configuration = {"assets": {"conf": {"source": f"file://{source}", "refresh": {"every": "1h"}}}}
    with running(tmp_path, configuration) as sidecar:
        until(lambda: sidecar.state("conf")["generation"])
        sidecar.stop()
        sidecar.start()
        until(lambda: sidecar.state("conf")["next_refresh_at"])
        told, own = planned(sidecar)["conf"], sidecar.state("conf")
        assert not told["exact"]
        assert told["earliest"] <= own["next_refresh_at"] <= told["latest"]
        assert told["why_next"] == own["why_next"] == "interval"


def test_a_plan_needs_no_sidecar_and_names_an_asset_that_there_is_not(tmp_path: Path) -> None:
    sidecar = Sidecar(tmp_path, {"assets": {"conf": {"source": "file:///nowhere"}}}, {})
    ended = sidecar.command("plan")
    assert (ended.returncode, ended.stdout.splitlines()[:2]) == (0, ["conf", "  held  nothing"])
    ended = sidecar.command("plan", "nope")
    assert (ended.returncode, ended.stderr) == (2, "no such asset: nope\n")
