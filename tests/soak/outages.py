"""Three outages of 140 s side by side, on real servers: server away, really sealed, 403 to everything; then the cure.

    python -m tests.soak.outages [SECONDS]

Prints what each asset asked for meanwhile, what the documented back-off allows, and how long after the cure it was
well; exits with 1 if anything isn't as promised.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.fault_proxy import refuses, silence
from tests.soak import bounds
from tests.soak.ward import DEADLINE, EVERY, LIVES, Ward, ward
from tests.waiting import until

OUTAGE = 140.0
"""Seconds."""
HEALS_WITHIN = 10.0
"""Seconds from the cure to a renewed certificate, if it has under 20 s left or has expired."""
SLACK = 1
"""Attempts more than the arithmetic says: the one that was under way, and moments that aren't those of this program."""


@dataclass(frozen=True)
class Outage:
    name: str
    begin: Callable[[Ward], None]
    end: Callable[[Ward], None]


OUTAGES = (
    Outage("away", lambda one: one.proxy.away(), lambda one: one.proxy.back()),
    Outage("sealed", lambda one: one.bao.seal(), lambda one: one.bao.unseal()),
    Outage("403", lambda one: one.proxy.fail(refuses(403, "permission denied")), lambda one: one.proxy.heal()),
)


@dataclass(frozen=True)
class Course:
    """How one asset fared; `requests` None: nobody could count them."""

    asset: str
    attempts: int
    requests: int | None
    allowed: int
    healed: float | None
    bound: float

    def __str__(self) -> str:
        healed = "never" if self.healed is None else f"{self.healed:.1f} s" if self.attempts else "-"
        requests = "-" if self.requests is None else self.requests
        return f"{self.asset:12} {self.attempts:9} {requests:>9} {self.allowed:8} {healed:>9} {self.bound:6.1f} s"

    def complaints(self) -> Iterator[str]:
        if max(self.attempts, self.requests or 0) > self.allowed:
            yield f"{self.asset}: asked more often than the back-off allows"
        if self.healed is None or self.healed > self.bound:
            yield f"{self.asset}: well too late"


def allowed(asset: str, age: float, seconds: float) -> int:
    """Attempts in an outage that began when the certificates were `age` seconds old."""
    if asset not in LIVES:
        return bounds.attempts(0, seconds, bounds.interval(EVERY)) + SLACK
    begin = bounds.renewal(LIVES[asset]) - age
    return bounds.attempts(begin, seconds, bounds.expiry(LIVES[asset] - age)) + SLACK if begin < seconds else 0


def suffered(one: Ward, outage: Outage, seconds: float) -> tuple[list[Course], list[str]]:
    """One outage from its beginning to its cure, and what was wrong."""
    age = min(LIVES[asset] - one.remaining(asset).total_seconds() for asset in LIVES)
    content, began = one.content(), time.monotonic()
    outage.begin(one)
    wrong = list(_watched(one, content, began + seconds))
    attempts = {asset: one.failed(asset) for asset in one.assets}
    left = {asset: one.remaining(asset).total_seconds() for asset in LIVES}
    counted = {asset: one.requests(asset, began) for asset in one.assets}
    print(f"{outage.name}: cured after {time.monotonic() - began:.0f} s; seconds left: {left}", flush=True)
    if not (left["over"] < 0 < left["almost-over"] < 20):
        wrong.append(f"the certificates are of the wrong age for this proof: {left}")
    outage.end(one)
    healed = one.healed(time.monotonic())
    courses = [
        Course(
            asset,
            attempts[asset],
            None if outage.name == "away" else counted[asset],
            allowed(asset, age, seconds),
            healed.get(asset),
            HEALS_WITHIN if asset in LIVES else EVERY * 1.1 + 1,
        )
        for asset in one.assets
    ]
    issued = {asset: one.issued(asset) for asset in LIVES}
    if issued != {"almost-over": 2, "over": 2, "long": 1}:
        wrong.append(f"certificates were issued that nobody needed, or none: {issued}")
    return courses, [*wrong, *(complaint for course in courses for complaint in course.complaints())]


def _watched(one: Ward, content: str, until_: float) -> Iterator[str]:
    """The last good files stay for the whole outage."""
    while (left := until_ - time.monotonic()) > 0:
        time.sleep(min(left, 1))
        if one.content() != content:
            yield "the last good files did not stay"
            return


def black_holed(one: Ward) -> tuple[str, list[str]]:
    """A request that is never answered is noticed within its deadline, and said; a look under way may come first."""
    one.proxy.fail(silence)
    began = time.monotonic()
    answer = one.sidecar.ask("POST", "/refresh/values")
    took = time.monotonic() - began
    one.proxy.heal()
    said = f"values: failed: GET values/data/app at 127.0.0.1:{one.proxy.port} failed: no whole answer in time"
    until(lambda: said in one.sidecar.logged())
    line = f"black hole: noticed after {took:.1f} s, the deadline is {DEADLINE:.1f} s, the answer was {answer.status}"
    return line, [] if answer.status == 502 and took < 2 * DEADLINE + 1 else ["the black hole was noticed too late"]


def told(outage: Outage, seconds: float) -> tuple[list[str], list[str]]:
    """The lines to print, and the complaints."""
    with tempfile.TemporaryDirectory() as directory, ward(Path(directory)) as one:
        courses, wrong = suffered(one, outage, seconds)
        lines = [f"{outage.name:7} {course}" for course in courses]
        lines.append(f"{outage.name:7} logins and look-ups of tokens: {len(one.proxy.asked('/auth/'))} requests in all")
        hole, late = black_holed(one)
        return [*lines, f"{outage.name:7} {hole}"], [f"{outage.name}: {each}" for each in (*wrong, *late)]


def main(seconds: float) -> int:
    with ThreadPoolExecutor(len(OUTAGES)) as pool:
        ends = list(pool.map(lambda outage: told(outage, seconds), OUTAGES))
    print(f"{'outage':7} {'asset':12} {'attempts':>9} {'requests':>9} {'allowed':>8} {'healed':>9} {'within':>8}")
    for lines, _ in ends:
        print(*lines, sep="\n")
    wrong = [each for _, complaints in ends for each in complaints]
    print(*(f"WRONG: {each}" for each in wrong), sep="\n") if wrong else print("all as promised")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else OUTAGE))
