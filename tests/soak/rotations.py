"""Short certificates, rotated a thousand times under a reader: `python -m tests.soak.rotations`.

Claims: the reader meets no bad state and no expired certificate; the server, by its audit log, made one certificate for
each asset and one for each rotation; none was asked for before its renewal moment, and none after the last had expired.
"""

import argparse
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby, pairwise
from pathlib import Path

from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.soak.lab import Issued, Line, authority, conclude, issued, say
from tests.soak.reader import reading
from tests.waiting import until

EARLIEST, LATEST = 0.67 - 0.15, 0.67
"""Of the time from having a certificate to its end: `renew_at` less the whole `spread`, and less none of it."""


def rotations(sidecar: Sidecar) -> int:
    """How many certificates took the place of another, by the sidecar's status."""
    return sum(asset["generation"] - 1 for asset in sidecar.ask("GET", "/assets").json()["assets"])


def counts(sidecar: Sidecar, pki: Pki) -> tuple[int, int] | None:
    """Certificates that were issued, and rotations; None while one is under way, which only one of them counts."""
    before, seen, after = pki.issued(), rotations(sidecar), pki.issued()
    return (after, seen) if before == after else None


def settled(sidecar: Sidecar, pki: Pki, assets: int) -> tuple[int, int]:
    """The two counts at a moment at which they agree; if there is none, as they are."""

    def agreed() -> tuple[int, int] | None:
        found = counts(sidecar, pki)
        return found if found and found[0] == found[1] + assets else None

    try:
        return until(agreed)
    except AssertionError:
        return until(lambda: counts(sidecar, pki))


def moments(made: Sequence[Issued]) -> list[tuple[float, float]]:
    """For each renewal: at which share of its certificate's time it was asked for, and seconds before the end."""
    by_name = groupby(sorted(made, key=lambda each: (each.name, each.asked_at)), key=lambda each: each.name)
    return [_moment(old, new) for _, each in by_name for old, new in pairwise(each)]


def _moment(old: Issued, new: Issued) -> tuple[float, float]:
    # From the server's answer on: what counts is when the sidecar has it, which can't be sooner.
    whole = old.expires_at - old.answered_at
    return (new.asked_at - old.answered_at) / whole, (old.expires_at - new.asked_at) / timedelta(seconds=1)


def prove(directory: Path, pki: Pki, *, wanted: int, assets: int, ttl: int) -> list[Line]:
    """Rotate that often, under a reader, and look at what was seen."""
    names = [f"web{number}" for number in range(assets)]
    configured = {name: pki.asset(ttl=f"{ttl}s", name=f"{name}.example.com") for name in names}
    with running(directory, pki.configuration(**configured)) as sidecar:
        directories = [sidecar.volume / name for name in names]
        # Visible first, and noted a moment later.
        until(lambda: all(sidecar.state(name)["generation"] for name in names), within=60)
        with reading(directories) as saw:
            for part in range(1, 11):
                until(lambda: rotations(sidecar) >= wanted * part / 10, within=ttl * wanted / assets + 30, every=0.2)  # noqa: B023
                say(f"{rotations(sidecar)} rotations")
        made, seen = settled(sidecar, pki, assets)
    for problem in saw["problems"]:
        say(problem)
    shares, left = zip(*moments(issued(pki)), strict=True)
    return [
        Line("rotations, by status", seen, seen >= wanted),
        Line("certificates issued, by the audit log", made, made == assets + seen),
        Line("pairs read", saw["pairs"], saw["pairs"] > 10 * seen),
        Line("different certificates read", saw["certificates"]),
        Line("bad states read", saw["bad"], saw["bad"] == 0),
        Line("least life left in a certificate read", f"{saw['least']:.2f} s", saw["least"] > 0),
        Line("earliest renewal, share of the lifetime", f"{min(shares):.3f}", min(shares) >= EARLIEST),
        Line("latest renewal, share of the lifetime", f"{max(shares):.3f} (planned: {LATEST})"),
        Line("least time left at a renewal", f"{min(left):.2f} s", min(left) > 0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.rotations", description=__doc__)
    parser.add_argument("--rotations", type=int, default=1000)
    parser.add_argument("--assets", type=int, default=20)
    parser.add_argument("--ttl", type=int, default=5, help="seconds that a certificate lives")
    size = parser.parse_args()
    with authority() as (directory, pki):
        lines = prove(directory, pki, wanted=size.rotations, assets=size.assets, ttl=size.ttl)
    conclude(f"{size.rotations} rotations of {size.assets} certificates that live {size.ttl} s", lines)


if __name__ == "__main__":
    main()
