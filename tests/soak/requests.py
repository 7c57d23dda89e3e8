"""Requests in numbers while certificates are renewed: `python -m tests.soak.requests`.

Claims: of 10,000 requests, offered within ten seconds, five hundred of which ask for refreshes, all are answered, and
as documented; every renewal that falls due comes when it should, in about the time that it takes without them; and
memory stays flat.
"""

import argparse
import re
import statistics
import time
from collections import Counter
from pathlib import Path

from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.soak.lab import Issued, Line, authority, conclude, issued, now
from tests.soak.load import Answers, poured
from tests.soak.rotations import LATEST, moments
from tests.soak.vitals import sample
from tests.waiting import until

CALLS = (*["GET /assets", "GET /readyz"] * 9, "GET /metrics", "POST /refresh/asked?wait=false")
ASSETS, TTL = 12, 20
"""Certificates, and the seconds that each lives: about one is renewed each second."""
CONNECTIONS = 4
BURST, PER_SECOND = 10, 1
"""Refreshes that may be asked for of one asset (docs/local-api.md)."""
SLOWER = 1.0
"""Seconds that the median renewal may take longer, on a machine that makes the requests too."""
LATE = 0.9
"""Of a certificate's life: the latest renewal on such a machine."""
GROWTH = 8.0
"""MiB: a little more than what the allocator keeps of one answer for each connection."""


def memory(sidecar: Sidecar) -> float:
    """MiB of the process that are in memory."""
    assert sidecar.process is not None
    return sample(sidecar.process.pid).memory


def renewals(sidecar: Sidecar, since: int) -> list[float]:
    """Seconds that each renewal took, of those logged after the line of that number."""
    lines = sidecar.logged_lines()[since:]
    return [line["duration"] for line in lines if line.get("result") == "published" and line["asset"].startswith("web")]


def refreshed(sidecar: Sidecar) -> int:
    """How often the asset was refreshed that the requests ask for."""
    found = re.findall(r'refreshes_total{asset="asked",result="\w+(?:-\w+)?"} (\d+)', sidecar.metrics())
    return sum(map(int, found))


def prove(directory: Path, pki: Pki, *, requests: int, seconds: float) -> list[Line]:
    """Renew for a while undisturbed, then as long beside the requests, and compare."""
    (directory / "source").mkdir()  # of its own, because a file's directory is watched
    (directory / "source/file").write_text("content")
    names = [f"web{number}" for number in range(ASSETS)]
    assets = {name: pki.asset(ttl=f"{TTL}s", name=f"{name}.example.com") for name in names}
    assets["asked"] = {"source": f"file://{directory}/source/file"}
    with running(directory, pki.configuration(**assets)) as sidecar:
        until(lambda: all((sidecar.volume / name / "..data").exists() for name in assets), within=60)
        poured(sidecar.port, CALLS[:-1], requests=1000, seconds=1, connections=CONNECTIONS)
        start = len(sidecar.logged_lines())
        until(lambda: len(renewals(sidecar, start)) >= seconds, within=10 * seconds, every=0.2)
        alone, start = renewals(sidecar, start), len(sidecar.logged_lines())
        before, asked = memory(sidecar), refreshed(sidecar)
        begin, begun = time.monotonic(), now()
        answers = poured(sidecar.port, CALLS, requests=requests, seconds=seconds, connections=CONNECTIONS)
        took, ended = time.monotonic() - begin, now()
        beside, after, done = renewals(sidecar, start), memory(sidecar), refreshed(sidecar) - asked
        until(lambda: len(renewals(sidecar, start)) >= len(beside) + ASSETS, within=60, every=0.2)
    made = [each for each in issued(pki) if each.expires_at > begun and each.asked_at < ended]
    return [*_answered(answers, requests, took, done), *_renewed(alone, beside, made), _flat(before, after)]


def _answered(answers: Answers, requests: int, took: float, refreshes: int) -> list[Line]:
    by_status = Counter[int]()
    for (_, status), count in answers.statuses.items():
        by_status[status] += count
    away, most = by_status[429], BURST + PER_SECOND * (took + 1)
    latencies = statistics.quantiles(answers.latencies, n=100)
    return [
        Line("requests answered", by_status.total(), by_status.total() == requests),
        Line("in", f"{took:.1f} s, {requests / took:.0f}/s"),
        Line("statuses", dict(sorted(by_status.items())), set(by_status) <= {200, 202, 429}),
        Line("median and 99% of an answer", f"{latencies[49] * 1000:.1f} ms, {latencies[98] * 1000:.1f} ms"),
        Line("refreshes made of those asked for", f"{refreshes} (at most {most:.0f})", 0 < refreshes <= most),
        Line(
            "sent away without Retry-After", answers.without_retry_after, away > 0 and not answers.without_retry_after
        ),
    ]


def _renewed(alone: list[float], beside: list[float], made: list[Issued]) -> list[Line]:
    shares, left = zip(*moments(made), strict=True)
    slower = statistics.median(beside) - statistics.median(alone)
    return [
        Line("renewals alone, median", f"{len(alone)}, {statistics.median(alone) * 1000:.0f} ms"),
        Line("renewals beside, median", f"{len(beside)}, {statistics.median(beside) * 1000:.0f} ms", slower < SLOWER),
        Line("latest renewal, share of the lifetime", f"{max(shares):.3f} (planned: {LATEST})", max(shares) < LATE),
        Line("least time left at a renewal", f"{min(left):.2f} s", min(left) > 0),
    ]


def _flat(before: float, after: float) -> Line:
    return Line("memory before and after", f"{before:.1f} MiB, {after:.1f} MiB", after - before < GROWTH)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.requests", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    with authority() as (directory, pki):
        lines = prove(directory, pki, requests=given.requests, seconds=given.seconds)
    conclude(f"{given.requests} requests in {given.seconds:g} s while certificates are renewed", lines)


if __name__ == "__main__":
    main()
