"""Restarts in the middle of a certificate's life: `python -m tests.soak.restarts`.

Claims: half of them by SIGTERM and half by SIGKILL, none issues a certificate or moves the next renewal, neither under
this machine's name nor under a pod's; and each name has a moment of its own.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.soak.lab import Line, authority, conclude, say

PODS = {"this machine": {}} | {name: {"HOSTNAME": name} for name in ("web-7d4b9c-x2x9k", "web-7d4b9c-p5q8z")}
"""The name of each pod, and the environment from which it knows it."""
LASTS = ("generation", "digest", "expires_at", "next_refresh_at", "why_next")
"""What of an asset's status must survive a restart."""


def lasting(sidecar: Sidecar) -> dict[str, Any]:
    """What a restart must not change, once the sidecar knows it: its plan is noted a moment after the certificate."""
    state = sidecar.planned("web", 1)
    return {name: state[name] for name in LASTS}


def restarted(sidecar: Sidecar, number: int) -> dict[str, Any]:
    """What of the status lasts after one more restart, every second one without a warning."""
    if number % 2:
        sidecar.kill()
    else:
        sidecar.stop()
    sidecar.start()
    return lasting(sidecar)


def prove(directory: Path, pki: Pki, *, restarts: int) -> list[Line]:
    """Restart each pod that often, and compare."""
    lines, plans = [], set()
    with ExitStack() as pods:
        for number, (name, environment) in enumerate(PODS.items()):
            (home := directory / f"pod-{number}").mkdir()
            sidecar = pods.enter_context(running(home, pki.configuration(web=pki.asset(ttl="1h")), **environment))
            before = lasting(sidecar)
            plans.add(before["next_refresh_at"])
            same = sum(restarted(sidecar, each) == before for each in range(restarts))
            say(f"{name}: restarted {restarts} times, next renewal {before['next_refresh_at']}")
            lines.append(Line(f"restarts that changed nothing, {name}", f"{same} of {restarts}", same == restarts))
    return [
        *lines,
        Line("different renewal moments of the pods", len(plans), len(plans) > 1),
        Line("certificates issued beyond each first one", pki.issued() - len(PODS), pki.issued() == len(PODS)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.restarts", description=__doc__)
    parser.add_argument("--restarts", type=int, default=20)
    size = parser.parse_args()
    with authority() as (directory, pki):
        lines = prove(directory, pki, restarts=size.restarts)
    conclude(f"{size.restarts} restarts of each pod in the life of a certificate of an hour", lines)


if __name__ == "__main__":
    main()
