"""The example's twenty templates by `bao agent` and by refresher, on one OpenBao: `python -m tests.soak.agent`.

Five secrets change one after the other, as fast as they can be written, while somebody reads the files. Claims:
refresher asks less often at its start, and no more often after it; nobody who reads a set of its files finds more sets
than there were looks at the secrets; it tells the app once for each. Both look every second here.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.app import App
from tests.journeys.beside import SECRETS, Pair, put, secret_server, secrets, side_by_side
from tests.soak.lab import Line, conclude
from tests.soak.vitals import sample
from tests.waiting import until

LOOKS = "1s"
WHO = ("agent", "ours")

Files = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader saw of one change: seconds with some files of before and some of after, and how many such sets."""

    mixed: float
    mixtures: int


class Reader:
    """Reads one set of files, and knows what it was before and has to become."""

    def __init__(self, before: Files, after: Files) -> None:
        self._after = {name: content for name, content in after.items() if before[name] != content}
        self._first: float | None = None
        self._last = 0.0
        self._mixtures: set[frozenset[str]] = set()

    def look(self, files: Files) -> bool:
        """Whether all is as it has to become."""
        new = frozenset(name for name, content in self._after.items() if files.get(name) == content)
        self._last = time.monotonic()
        self._first = self._first or (self._last if new else None)
        if len(new) == len(self._after):
            return True
        if new:
            self._mixtures.add(new)
        return False

    @property
    def seen(self) -> Seen:
        return Seen(self._last - (self._first or self._last), len(self._mixtures))


def seen_by_readers(pair: Pair, before: Files, after: Files) -> tuple[Seen, Seen]:
    """What readers of the agent's files, and of ours, see until both have come to what is `after`."""
    theirs, ours = Reader(before, after), Reader(before, after)
    left = {"theirs", "ours"}
    deadline = time.monotonic() + 60
    while left and time.monotonic() < deadline:
        if "theirs" in left and theirs.look(pair.agent.files()):
            left.remove("theirs")
        if "ours" in left and ours.look(pair.files()):
            left.remove("ours")
    assert not left, f"not changed within a minute: {left}"
    return theirs.seen, ours.seen


def changes(pair: Pair, number: int) -> Iterator[tuple[Seen, Seen]]:
    """So many changes of all five secrets, there and back."""
    contents = {"one": pair.files()}
    put(pair.server, secrets("two"))
    until(lambda: pair.agree() and pair.files()["url.txt"].startswith(b"postgres://shop:two"), within=60)
    contents["two"], now = pair.files(), "two"
    for _ in range(number):
        turn = "one" if now == "two" else "two"
        put(pair.server, secrets(turn))
        yield seen_by_readers(pair, contents[now], contents[turn])
        now = turn


def at_the_start(pair: Pair, who: str) -> int:
    """Requests until the secrets had been read once."""
    asked = pair.asked(who)
    last = max(asked.index(f"read secret/data/{name}") for name in SECRETS)
    return last + 1


def of_an_interval(pair: Pair) -> dict[str, float]:
    """Requests in the time between two looks, of each, over forty of them at least."""
    begun, began = {who: len(pair.asked(who)) for who in WHO}, time.monotonic()
    until(lambda: all(len(pair.asked(who)) > begun[who] + 40 * len(SECRETS) for who in WHO), within=240, every=1)
    took = time.monotonic() - began
    return {who: round((len(pair.asked(who)) - begun[who]) / took, 1) for who in WHO}


def told(pair: Pair, app: App, number: int) -> list[Line]:
    """What was found."""
    until(lambda: heard_of(app) == 1, within=60)
    start, interval = {who: at_the_start(pair, who) for who in WHO}, of_an_interval(pair)
    writes, commands, heard, flips = pair.agent.writes, pair.agent.commands, len(app.heard), pair.generation
    seen = list(changes(pair, number))
    until(lambda: heard_of(app) == pair.generation, within=60)
    number += 1  # the first one nobody watched
    flips, heard = pair.generation - flips, len(app.heard) - heard
    return [
        Line("requests at the start: agent", start["agent"]),
        Line("requests at the start: refresher", start["ours"], start["ours"] < start["agent"]),
        Line("requests in an interval: agent", interval["agent"]),
        Line("requests in an interval: refresher", interval["ours"], interval["ours"] <= interval["agent"] + 1),
        *readers("agent", [theirs for theirs, _ in seen]),
        *readers("refresher", [ours for _, ours in seen]),
        Line("changes", number),
        Line("files written: agent", pair.agent.writes - writes),
        Line("commands run: agent", pair.agent.commands - commands),
        Line("flips: refresher", flips, flips <= 2 * number),
        Line("tellings: refresher", heard, heard == flips),
        Line("memory (MiB): agent", round(sample(pair.agent.pid).memory)),
        Line("memory (MiB): refresher", round(sample(pid(pair)).memory)),
    ]


def pid(pair: Pair) -> int:
    assert pair.sidecar.process is not None
    return pair.sidecar.process.pid


def heard_of(app: App) -> int:
    """The last generation that the app heard of; 0 before the first."""
    return int(json.loads(app.heard[-1].body)["generation"]) if app.heard else 0


def readers(of: str, seen: Sequence[Seen]) -> list[Line]:
    """In milliseconds."""
    mixed = [round(each.mixed * 1000) for each in seen]
    return [
        Line(f"files of before and after: {of}, p50 (ms)", round(statistics.median(mixed))),
        Line(f"files of before and after: {of}, longest (ms)", max(mixed)),
        Line(f"changes with such files: {of}", f"{sum(each.mixtures > 0 for each in seen)} of {len(seen)}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.agent", description=__doc__)
    parser.add_argument("--changes", type=int, default=40)
    number = parser.parse_args().changes
    with tempfile.TemporaryDirectory(prefix="refresher-soak-") as root, App().running() as app:
        (Path(root) / "bao").mkdir()
        (Path(root) / "pair").mkdir()
        with (
            secret_server(Path(root) / "bao") as server,
            side_by_side(Path(root) / "pair", server, app, agent_looks=LOOKS, every=LOOKS) as pair,
        ):
            lines = told(pair, app, number)
    conclude("Twenty files of five secrets, by an agent and by refresher", lines)


if __name__ == "__main__":
    main()
