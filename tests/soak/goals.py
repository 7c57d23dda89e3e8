"""Ten thousand simulated pods: `python -m tests.soak.goals`.

Claims: those of docs/fleet.md, for which the defaults were chosen. Pods that look every 5 minutes ask their source
evenly, and after an outage soon do so again; and nobody's certificate of a day expires.
"""

import argparse
from dataclasses import replace
from datetime import timedelta

from refresher.simulate import Behaviour, Findings, Fleet, of_certificates, of_values, simulated
from tests.soak.lab import Line, conclude


def found() -> list[Line]:
    """Ten thousand pods, each looking every 5 minutes, and with certificates of a day."""
    fleet, outage = Fleet(rollout=timedelta(minutes=1)), timedelta(minutes=10)
    values = simulated(fleet, of_values(fleet.refresh.every, rollout=fleet.rollout, outage=outage), Behaviour())
    lines = [
        _goal(values, "steady", 1.3),
        _goal(values, "come-back", 3),
        _goal(values, "later", 1.3),
    ]
    skewed = replace(fleet, skew=timedelta(minutes=5))
    for away in (outage, timedelta(hours=4)):
        course = of_certificates(timedelta(days=1), rollout=fleet.rollout, outage=away)
        expired = simulated(skewed, course, Behaviour()).expired
        lines.append(Line(f"certificates expired, outage of {away}, clocks wrong by 5 min", expired, expired == 0))
    return lines


def _goal(findings: Findings, phase: str, most: float) -> Line:
    ratio = findings.ratio(findings.load(phase))
    return Line(f"{findings.pods} pods, {phase}: busiest 10 s / mean", f"{ratio:.2f}, goal {most:g}", ratio <= most)


def main() -> None:
    argparse.ArgumentParser(prog="python -m tests.soak.goals", description=__doc__).parse_args()
    conclude("The goals of ten thousand pods", found())


if __name__ == "__main__":
    main()
