"""The figures as a table for people, and progress apart from it."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure: figures of refresher and of the peer (none: it can't do that), and what refresher should reach.

    `share`: at most so many times the peer's median; `least`: at least so many times; `above`: at most so much more.
    `limit`: at most that median.
    """

    what: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    share: float | None = None
    least: float | None = None
    above: float | None = None
    limit: float | None = None

    @property
    def ratio(self) -> float | None:
        """Our median divided by theirs."""
        return median(self.ours) / median(self.theirs) if self.theirs and median(self.theirs) else None

    @property
    def goal(self) -> str:
        """What should be reached, and whether it is."""
        if self.share is not None and self.ratio is not None:
            return f"<= {self.share:g} x  {_mark(self.ratio <= self.share)}"
        if self.least is not None and self.ratio is not None:
            return f">= {self.least:g} x  {_mark(self.ratio >= self.least)}"
        if self.above is not None:
            more = median(self.ours) - median(self.theirs)
            return f"<= {self.above:g} {self.unit} more  {_mark(more <= self.above)}"
        if self.limit is not None:
            return f"<= {self.limit:g} {self.unit}  {_mark(median(self.ours) <= self.limit)}"
        return ""

    def cells(self) -> tuple[str, ...]:
        """The row's texts."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x"
        return (f"{self.what} [{self.unit}]", figures(self.ours), figures(self.theirs), ratio, self.goal)


def table(rows: Sequence[Row], *, peer: str) -> str:
    """All rows below a heading, in columns."""
    return columns([("median (min-max)", "refresher", peer, "ratio", "goal"), *(row.cells() for row in rows)])


def columns(lines: Sequence[Sequence[str]]) -> str:
    """The lines with their texts one below the other; the first is the heading."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    heading, *rest = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return "\n".join([heading, "-" * len(heading), *rest])


def say(line: str) -> None:
    """Progress, apart from the figures."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def percentile_95(figures: Sequence[float]) -> float:
    """The figure that 95 of 100 don't exceed."""
    return quantiles(figures, n=20, method="inclusive")[-1]


def figures(found: Sequence[float]) -> str:
    """The median, with the least and the most if there are several."""
    if not found:
        return "-"
    middle = _number(median(found))
    return middle if len(found) == 1 else f"{middle} ({_number(min(found))}-{_number(max(found))})"


def _number(figure: float) -> str:
    return f"{figure:.2f}" if figure < 10 else f"{figure:.1f}" if figure < 100 else f"{figure:.0f}"


def _mark(reached: bool) -> str:  # noqa: FBT001
    return "reached" if reached else "MISSED"
