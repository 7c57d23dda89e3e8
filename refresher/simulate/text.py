"""The findings for people: a table of the phases, the requests over time, and how the pods fared."""

from collections.abc import Iterator

from refresher.options import write_duration
from refresher.simulate.findings import BIN, Findings, Load, chance
from refresher.simulate.plot import plot
from refresher.tables import table
from refresher.words import counted, duration

HEAD = ("PHASE", "FROM", "FOR", "REQUESTS", "MEAN/S", "99%/S", "PEAK/S", f"PEAK {BIN} S", "TIMES STEADY")


def findings_text(findings: Findings) -> str:
    """A paragraph for one course."""
    phases = table(HEAD, [_row(findings, load) for load in findings.loads])
    return "\n".join([_title(findings), "", phases, "", plot(findings), "", *_sentences(findings)])


def _title(findings: Findings) -> str:
    lives = findings.course.lifetime
    return f"{counted(findings.pods, 'pod')}, {findings.course.title}{f' of {write_duration(lives)}' if lives else ''}"


def _row(findings: Findings, load: Load) -> tuple[str, ...]:
    begin, end = load.phase.begin, load.phase.end
    figures = (f"{load.requests}", f"{load.mean:.2f}", f"{load.p99}", f"{load.peak}", f"{load.peak_bin:.1f}")
    return load.phase.name, duration(begin), duration(end - begin), *figures, f"{findings.ratio(load):.2f}"


def _sentences(findings: Findings) -> Iterator[str]:
    yield f"Drawn by lot, the moments of the steady phase would peak at {chance(findings.steady):.2f} times steady."
    if findings.course.lifetime is not None:
        yield _expiries(findings)
        return
    if findings.staleness is not None:
        yield f"The last pod had the change after {duration(findings.staleness)}."
    yield f"The longest that a pod heard nothing for, outage included: {duration(findings.silence)}."


def _expiries(findings: Findings) -> str:
    if not findings.expired:
        return "Nobody's certificate expired."
    longest = duration(findings.longest_expired)
    return f"{counted(findings.expired, 'pod')} had an expired certificate, for {longest} at the longest."
