"""Requests over time as lines of text, for a terminal."""

from collections.abc import Sequence
from itertools import pairwise

from refresher.simulate.findings import BIN, Findings

WIDTH, HEIGHT = 72, 5
"""Columns and lines."""
LEVELS = " ▁▂▃▄▅▆▇█"


def plot(findings: Findings) -> str:
    """The busiest `BIN` seconds of each column's time, and below it where the phases begin."""
    counts = columns(findings.bins, WIDTH)
    most = max(counts) or 1
    lines = ["".join(_cell(count / most * HEIGHT - row) for count in counts) for row in reversed(range(HEIGHT))]
    top = f"{most / BIN:.1f}/s"
    margins = [top, *[""] * (HEIGHT - 1)]
    drawn = [f"{margin:>{len(top)}} ┤{line}".rstrip() for margin, line in zip(margins, lines, strict=True)]
    return "\n".join([*drawn, f"{'':{len(top)}} └{_marks(findings)}"])


def columns(bins: Sequence[int], width: int) -> list[int]:
    """The highest of the bins that fall into each column; where there are fewer bins, a column each."""
    width = min(width, len(bins))
    edges = [number * len(bins) // width for number in range(width + 1)]
    return [max(bins[first:last]) for first, last in pairwise(edges)]


def _cell(filled: float) -> str:
    """A character of which so much is filled, of whatever is above or below it none or all."""
    return LEVELS[round(min(max(filled, 0), 1) * (len(LEVELS) - 1))]


def _marks(findings: Findings) -> str:
    """The names of the phases, each from where it begins; those for which there is no room are left out."""
    line = ""
    for load in findings.loads:
        column = int(load.phase.begin / findings.course.end * min(WIDTH, len(findings.bins)))
        if column >= len(line):
            line = f"{line:─<{column}}{load.phase.name} "
    return line.rstrip()
