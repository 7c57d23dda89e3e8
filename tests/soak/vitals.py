"""What a process costs while it runs, from /proc: memory, descriptors, threads; and whether they grow."""

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

EVERY = 1.0
"""Seconds between two samples."""


@dataclass(frozen=True, slots=True)
class Sample:
    """`at` in seconds of `time.monotonic()`, `memory` resident, in MiB."""

    at: float
    memory: float
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Course:
    """One figure over time: its median, its most, and how much a straight line through it rises over the whole."""

    median: float
    most: float
    rise: float

    def __str__(self) -> str:
        return f"{self.median:.1f}, at most {self.most:.1f}, rises {self.rise:+.2f}"


class Vitals:
    """Samples of one process, oldest first."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.samples: list[Sample] = []

    def take(self) -> None:
        """One more sample. FileNotFoundError if the process has ended."""
        self.samples.append(sample(self._pid))

    def by_fifths(self, figure: str) -> str:
        """The median of each fifth of the time."""
        values = [getattr(one, figure) for one in self.samples]
        cuts = [len(values) * fifth // 5 for fifth in range(6)]
        return " ".join(f"{statistics.median(values[begin:end]):.1f}" for begin, end in pairwise(cuts))

    def course(self, figure: str, *, warm_up: float) -> Course:
        """Of `memory`, `descriptors` or `threads`, without that share of the time at its beginning."""
        kept = self.samples[int(len(self.samples) * warm_up) :]
        return course([one.at for one in kept], [getattr(one, figure) for one in kept])


def sample(pid: int) -> Sample:
    """The process at this moment. FileNotFoundError if it has ended."""
    process = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    memory = int(status["VmRSS"].split()[0]) / 1024  # written in kibibytes
    descriptors = sum(1 for _ in (process / "fd").iterdir())
    return Sample(time.monotonic(), memory, descriptors, int(status["Threads"]))


def course(moments: Sequence[float], values: Sequence[float]) -> Course:
    """A straight line by least squares."""
    slope = statistics.linear_regression(moments, values).slope
    return Course(statistics.median(values), max(values), slope * (moments[-1] - moments[0]))


@contextmanager
def watched(pid: int) -> Iterator[Vitals]:
    """Sample the process until the context ends."""
    vitals, ended = Vitals(pid), Event()

    def keep_watching() -> None:
        while not ended.wait(EVERY):
            vitals.take()

    thread = Thread(target=keep_watching)
    thread.start()
    try:
        yield vitals
    finally:
        ended.set()
        thread.join()
