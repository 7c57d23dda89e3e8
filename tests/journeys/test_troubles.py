"""A source that never answers, through the real process: it is noticed, said, and nobody else's trouble."""

import time
from pathlib import Path
from typing import Any

from tests.fakes.fault_proxy import fault_proxy, silence
from tests.journeys.conftest import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until

DEADLINE = 3


def through(address: str, pki: Pki, *, ttl: str, deadline: int = DEADLINE) -> dict[str, Any]:
    """An asset whose server is asked at that address, and has `deadline` seconds for a look."""
    asset = pki.asset(ttl=ttl)
    asset["source"]["vault"] |= {"address": address, "timeout": f"{deadline}s"}
    return asset


def published(sidecar: Sidecar, asset: str) -> bytes:
    return (sidecar.volume / asset / "tls.crt").read_bytes()


def test_ten_sources_that_never_answer_do_not_delay_an_eleventh(tmp_path: Path, pki: Pki) -> None:
    with fault_proxy(pki.bao.address) as hole:
        hole.fail(silence)
        # Whoever waited for one of them would wait too long.
        dead = {f"dead{number}": through(hole.address, pki, ttl="1h", deadline=25) for number in range(10)}
        with running(tmp_path, pki.configuration(**dead, web=pki.asset(ttl="6s"))) as sidecar:
            for generation in (1, 2, 3):
                until(lambda n=generation: (sidecar.state("web")["generation"] or 0) >= n, within=20)
            assert {each["result"] for each in sidecar.state("web")["history"]} <= {"published", "unchanged"}
            until(lambda: all(sidecar.state(name)["result"] == "failed" for name in dead), within=60)
            assert not [name for name in dead if (sidecar.volume / name / "tls.crt").exists()]
            assert sidecar.ask("GET", "/livez").status == 200


def test_a_fetch_that_is_never_answered_is_noticed_at_its_deadline_and_the_last_good_files_stay(
    tmp_path: Path, pki: Pki
) -> None:
    with (
        fault_proxy(pki.bao.address) as hole,
        running(tmp_path, pki.configuration(web=through(hole.address, pki, ttl="1h"))) as sidecar,
    ):
        until(lambda: sidecar.state("web")["generation"] == 1)
        good = published(sidecar, "web")
        hole.fail(silence)
        began = time.monotonic()
        answer = sidecar.ask("POST", "/refresh/web")
        took = time.monotonic() - began
        reason = f"POST {pki.mount}/issue/web at {hole.address[7:]} failed: no whole answer in time"
        assert (answer.status, answer.json()["result"], answer.json()["error"]) == (502, "failed", reason)
        assert DEADLINE - 0.5 < took < DEADLINE + 10
        assert published(sidecar, "web") == good
        assert sidecar.state("web")["generation"] == 1
        assert f"web: failed: {reason}; the last good files stay" in sidecar.logged()
