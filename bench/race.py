"""What the tools needed for one load, as a table, and what refresher should reach beside them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from bench.racers import Spent
from bench.sources import Load
from bench.table import Row, columns, figures

RESIDENT, ONCE = "refresher run", "refresher once"
BARE = "download only"
HEADING = (
    "median (min-max)",
    "wall [s]",
    "MiB/s",
    "CPU [s]",
    "peak RSS [MiB]",
    "without start [s]",
    "wall, ratio",
)


@dataclass(frozen=True, slots=True)
class Race:
    """One load from one server: what each tool spent, by its name, and the refreshes by refresher's own account."""

    server: str
    load: Load
    spent: dict[str, list[Spent]] = field(default_factory=dict)
    refreshes: dict[str, list[float]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What is moved, and where from."""
        return f"{self.load.shown} from {self.server}"

    def note(self, name: str, spent: Spent, refresh: float | None = None) -> None:
        """One run of this tool."""
        self.spent.setdefault(name, []).append(spent)
        if refresh is not None:
            self.refreshes.setdefault(name, []).append(refresh)

    def speed(self, name: str) -> list[float]:
        """MiB a second of each run."""
        return [self.load.mib / spent.wall for spent in self.spent[name]]

    def files_a_second(self, name: str) -> list[float]:
        """Files a second of each run."""
        return [self.load.count / spent.wall for spent in self.spent[name]]

    def table(self) -> str:
        """All tools, and how often refresher's time they take."""
        ours = median(spent.wall for spent in self.spent[ONCE])
        lines = [self._cells(name, ours) for name in self.spent]
        return f"{self.label}\n{columns([HEADING, *lines])}"

    def _cells(self, name: str, ours: float) -> tuple[str, ...]:
        spent = self.spent[name]
        walls = [one.wall for one in spent]
        return (
            name,
            figures(walls),
            figures([median(self.speed(name))]),
            figures([one.cpu for one in spent]),
            figures([one.rss for one in spent]),
            figures(self.refreshes.get(name, ())),
            f"{median(walls) / ours:.2f} x",
        )


def s3_goals(big: Race, small: Race) -> Iterator[Row]:
    """What should be reached from S3: speed on equal work with the peers, and memory."""
    yield _speed(big, "rclone", least=1.1)
    yield _speed(big, "s5cmd", least=1.3)
    yield _speed(big, f"s5cmd, {BARE}", least=0.7)
    yield _peak(big)
    few = small.files_a_second(ONCE)
    beside = f"{small.label}, once, beside"
    yield Row(what=f"{beside} s5cmd", unit="files/s", ours=few, theirs=small.files_a_second("s5cmd"), least=0.5)
    yield Row(what=f"{beside} aws s3 cp", unit="files/s", ours=few, theirs=small.files_a_second("aws s3 cp"), least=2)


def web_goals(big: Race) -> Iterator[Row]:
    """The same from a web server; curl, where there is one, is shown and no goal: it has no second connection."""
    yield _speed(big, "rclone", least=1.1)
    if "curl" in big.spent:
        yield _speed(big, "curl")
    yield _peak(big)


def _speed(race: Race, peer: str, *, least: float | None = None) -> Row:
    what = f"{race.label}, once, beside {peer}"
    return Row(what=what, unit="MiB/s", ours=race.speed(ONCE), theirs=race.speed(peer), least=least)


def _peak(race: Race) -> Row:
    peaks = [spent.rss for spent in race.spent[RESIDENT]]
    return Row(what=f"{race.label}, peak RSS of the sidecar", unit="MiB", ours=peaks, limit=120)
