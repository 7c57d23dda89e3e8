"""The findings as JSON values: times in seconds, loads in requests a second."""

from math import isfinite
from typing import Any

from refresher.simulate.findings import BIN, Findings, Load, chance


def findings_document(findings: Findings) -> dict[str, Any]:
    """One course. `bins` are the requests in each `bin_seconds` of it; `chance` is explained in `findings.chance`."""
    course, staleness = findings.course, findings.staleness
    return {
        "course": course.title,
        "pods": findings.pods,
        "lifetime": course.lifetime.total_seconds() if course.lifetime else None,
        "phases": [_phase(findings, load) for load in findings.loads],
        "chance": _finite(chance(findings.steady)),
        "expired": findings.expired,
        "longest_expired": findings.longest_expired.total_seconds(),
        "longest_silence": findings.silence.total_seconds(),
        "staleness": staleness.total_seconds() if staleness is not None else None,
        "bin_seconds": BIN,
        "bins": list(findings.bins),
    }


def _phase(findings: Findings, load: Load) -> dict[str, Any]:
    return {
        "phase": load.phase.name,
        "begin": load.phase.begin.total_seconds(),
        "end": load.phase.end.total_seconds(),
        "requests": load.requests,
        "failed": load.failed,
        "mean": load.mean,
        "p99": load.p99,
        "peak": load.peak,
        "peak_bin": load.peak_bin,
        "times_steady": _finite(findings.ratio(load)),
    }


def _finite(ratio: float) -> float | None:
    """JSON has no infinity: null, where nobody asked in the steady phase."""
    return ratio if isfinite(ratio) else None
