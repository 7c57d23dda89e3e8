"""An examination for machines, and the same for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from refresher.abilities import Verdict
from refresher.doctor.examination import Examination, Finding
from refresher.words import printable

MARKS = {"ok": "✓", "warn": "!", "fail": "✗", "skipped": "-"}


def examination_document(examination: Examination) -> dict[str, Any]:
    """`verdict` is the worst of all findings that were made."""
    counts = examination.counts
    worst = next((each for each in (Verdict.FAIL, Verdict.WARN) if counts[each]), Verdict.OK)
    return {
        "verdict": worst,
        "counts": {verdict.value: counts[verdict] for verdict in Verdict},
        "sections": [
            {
                "asset": section.asset,
                "section": section.title,
                "findings": [_finding(finding) for finding in list(section.findings)],
            }
            for section in examination.sections
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    observation = finding.observation
    return {
        "of": observation.of,
        "verdict": observation.verdict,
        "seen": observation.seen,
        "advice": observation.advice or None,
        "seconds": round(finding.seconds, 3),
    }


def examination_text(document: Mapping[str, Any]) -> str:
    """A paragraph a section, a line a finding, what to do below it, and how many of each there are."""
    sections = ["\n".join(map(printable, _section(section))) for section in document["sections"]]
    counts = document["counts"]
    total = f"{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} failed, {counts['skipped']} skipped"
    return "\n\n".join([*sections, total])


def _section(section: Mapping[str, Any]) -> Iterator[str]:
    yield f"{section['asset']}: {section['section']}" if section["asset"] else section["section"]
    width = max((len(finding["of"]) for finding in section["findings"]), default=0)
    for finding in section["findings"]:
        took = f" ({finding['seconds']:.1f} s)" if finding["seconds"] >= 0.1 else ""
        yield f"  {MARKS[finding['verdict']]} {finding['of'].ljust(width)}  {finding['seen']}{took}"
        if finding["advice"]:
            yield f"    {' ' * width}  → {finding['advice']}"
