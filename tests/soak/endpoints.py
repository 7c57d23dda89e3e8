"""Thirty assets of one server that is gone for a while: what they ask meanwhile, and how soon all are there then.

    python -m tests.soak.endpoints [SECONDS]

Prints the figures beside what the arithmetic of the back-off allows; exits with 1 if anything isn't as promised.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tests.fakes.fault_proxy import FaultProxy, sends
from tests.journeys.thirty import Busy, Ward, ward
from tests.waiting import until

OUTAGE = 120.0
"""Seconds."""
SIDE_BY_SIDE = 16
"""`endpoints.concurrency`: so many may be under way when it goes away."""
WELL_WITHIN = 10.0
"""Seconds from the first answer until all thirty are published."""


def allowed(seconds: float) -> int:
    """Attempts of all assets together, if each wait is the shortest that the back-off draws."""
    count, at = SIDE_BY_SIDE, 0.0
    while (at := at + 0.75 * min(2.0 ** (count - SIDE_BY_SIDE), 300)) < seconds:
        count += 1
    return count


def complaints(one: Ward, seconds: float) -> Iterator[str]:
    """What isn't as promised, once it is over."""
    began = time.monotonic()
    until(lambda: time.monotonic() - began > seconds, within=seconds + 60, every=0.5)
    asked = [seen.at for seen in one.proxy.seen]
    pauses = [round(later - sooner, 1) for sooner, later in pairwise(asked)]
    print(f"asked {len(asked)} times in {seconds:.0f} s, {allowed(seconds)} allowed; pauses in seconds {pauses}")
    if len(asked) > allowed(seconds):
        yield "it was asked too often"
    one.proxy.heal()
    one.proxy.fail(busy := Busy())
    one.sidecar.ask("POST", "/refresh/v0")
    cured = time.monotonic()
    until(one.are_published, within=120)
    well = time.monotonic() - cured
    print(f"all there {well:.1f} s after the first answer, {WELL_WITHIN:.0f} allowed; {busy.most} asked at once")
    if well > WELL_WITHIN:
        yield "it took too long"
    if busy.most > SIDE_BY_SIDE:
        yield "too many asked at once"


def gone(_: object, proxy: FaultProxy) -> None:
    proxy.fail(sends(b""))


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else OUTAGE
    with (
        tempfile.TemporaryDirectory() as directory,
        ward(Path(directory), ill=gone) as one,
    ):
        found = list(complaints(one, seconds))
    print(*found, sep="\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
