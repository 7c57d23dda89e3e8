"""The figures as a table for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measure: figures of refresher and of the peer (none: it can't do that), and what refresher should reach.

    `share`: at most so many times the peer's median. `limit`: at most that median.
    """

    what: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    share: float | None = None
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
        if self.limit is not None:
            return f"<= {self.limit:g} {self.unit}  {_mark(median(self.ours) <= self.limit)}"
        return ""

    def cells(self) -> tuple[str, ...]:
        """The row's texts."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x"
        return (f"{self.what} [{self.unit}]", _figures(self.ours), _figures(self.theirs), ratio, self.goal)


def table(rows: Sequence[Row]) -> str:
    """All rows below a heading, in columns."""
    heading = ("median (min-max)", "refresher", "bao agent", "ratio", "goal")
    cells = [heading, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heading))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def percentile_95(figures: Sequence[float]) -> float:
    """The figure that 95 of 100 don't exceed."""
    return quantiles(figures, n=20, method="inclusive")[-1]


def _figures(figures: Sequence[float]) -> str:
    if not figures:
        return "-"
    middle = _number(median(figures))
    return middle if len(figures) == 1 else f"{middle} ({_number(min(figures))}-{_number(max(figures))})"


def _number(figure: float) -> str:
    return f"{figure:.2f}" if figure < 10 else f"{figure:.1f}" if figure < 100 else f"{figure:.0f}"


def _mark(reached: bool) -> str:  # noqa: FBT001
    return "reached" if reached else "MISSED"
