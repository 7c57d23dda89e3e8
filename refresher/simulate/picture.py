"""The findings as a picture. The only file that knows matplotlib, which `refresher[simulate]` brings."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refresher.errors import ConfigError, PermanentError
from refresher.simulate.findings import BIN, Findings
from refresher.simulate.plot import columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE: Any = {"svg.hashsalt": "refresher", "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False}
"""The same findings make the same bytes, and text stays text."""
COLUMNS = 400
APART = 0.02
"""Of the width: phases that are closer aren't named."""
ENDINGS = (".svg", ".png")


def refuse_unfit(path: Path) -> None:
    """Raise ConfigError if no picture can be made there, before anything is simulated for it."""
    if path.suffix not in ENDINGS:
        raise ConfigError(f"--picture: {path.name} has to end in {' or '.join(ENDINGS)}")
    try:
        import matplotlib as matplotlib
    except ImportError:
        raise ConfigError("--picture needs matplotlib: pip install 'refresher[simulate]'") from None


def draw(findings: Sequence[Findings], path: Path) -> None:
    """One drawing below the other. Raises PermanentError if the file can't be written."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(10, 3 * len(findings)), layout="constrained")
        for axes, each in zip(figure.subplots(len(findings), squeeze=False)[:, 0], findings, strict=True):
            _draw(axes, each)
        try:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})
        except OSError as error:
            raise PermanentError(f"{path}: {error.strerror}") from error


def _draw(axes: "Axes", findings: Findings) -> None:
    course, counts = findings.course, columns(findings.bins, COLUMNS)
    length = _hours(course.end)
    hours = [number * length / len(counts) for number in range(len(counts))]
    axes.fill_between(hours, [count / BIN for count in counts], step="post", linewidth=0)
    axes.axvspan(_hours(course.outage.begin), _hours(course.outage.end), color="tab:red", alpha=0.15)
    axes.set(xlabel="hours", ylabel="requests a second", ylim=0, xlim=(0, length))
    axes.set_title(f"{findings.pods} pods, {course.title}", loc="left", pad=36)
    _name_phases(axes, findings)


def _name_phases(axes: "Axes", findings: Findings) -> None:
    apart = _hours(findings.course.end) * APART
    named_at = -apart
    for load in findings.loads:
        begin = _hours(load.phase.begin)
        axes.axvline(begin, color="0.8", linewidth=0.5)
        if begin - named_at >= apart:
            axes.annotate(load.phase.name, (begin, 1), xycoords=("data", "axes fraction"), rotation=30, fontsize=8)
            named_at = begin


def _hours(moment: timedelta) -> float:
    return moment / timedelta(hours=1)
