"""A large file that is replaced while it is fetched: `python -m tests.soak.replaced`.

Claims, over HTTP and S3, for a file that comes in ranges and for one of several below a prefix: what is published was
at the source at one moment, byte for byte, under the revision that the server gave it; in the end it is the newest.

A try shows something only if the file was replaced while bytes came, by the count of a proxy before the server: so it
has to be in most of them, however few there are. Whether refresher then sees it depends on what was still to be asked.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.journeys.sidecar import Sidecar, running
from tests.soak.lab import Line, conclude, say
from tests.soak.shelf import MB, MiB, Original, Shelf, digest_of, shelves, written
from tests.soak.valve import Valve, valve
from tests.waiting import until

CONNECTION_RATE = 30 * MB
"""Bytes a second: a fetch takes a second or more, the middle of which has to be hit."""
WITHIN = 60.0
MIDDLE = (0.1, 0.8)
"""Of a file's bytes: when the next version comes there. The server takes a moment for it, and bytes come meanwhile."""
MIDWAY = 0.75
"""The share of tries in which that has to have happened while bytes came. On a busy machine it did in 48 of 48."""
SEEN = 0.5
"""The share that refresher has to have seen. Of those 48 it saw 47; an old file that is open already comes whole."""


@dataclass
class Stock:
    """The files of a source as they were at each moment, by their names; the last is what is there now."""

    shelf: Shelf
    directory: Path
    size: int
    below: str = ""
    moments: list[Mapping[str, Original]] = field(default_factory=lambda: [{}])

    def ready(self, name: str) -> Callable[[], None]:
        """Bring a new version of one file there; what this answers puts it in the place of the old one."""
        content = written(self.directory / "new", self.size)
        digest, put = digest_of(content), self.shelf.ready(self.below + name, content)
        content.unlink()
        return lambda: self.moments.append({**self.moments[-1], name: Original(digest, put())})

    def holds(self, digests: Mapping[str, str]) -> Mapping[str, Original] | None:
        """The files at the moment when they had these digests, if they ever did."""
        return next((moment for moment in self.moments if digests == _digests(moment)), None)

    def is_newest(self, digests: Mapping[str, str]) -> bool:
        """Whether this is what is there now."""
        return digests == _digests(self.moments[-1])


def _digests(moment: Mapping[str, Original]) -> dict[str, str]:
    return {name: original.digest for name, original in moment.items()}


@dataclass
class Tally:
    """What came of all tries: how their refreshes ended, replacements while bytes came, and sets that never were."""

    ends: Counter[str] = field(default_factory=Counter)
    midway: int = 0
    mixed: int = 0


@dataclass
class Trial:
    """A sidecar whose source changes under it."""

    sidecar: Sidecar
    valve: Valve
    stock: Stock
    moments: random.Random
    tally: Tally = field(default_factory=Tally)

    def run(self, tries: int) -> None:
        """Replace a file in the middle of a fetch, so often; at last let one come in peace."""
        names = list(self.stock.moments[-1])
        for _ in range(tries):
            first, second = (self.stock.ready(self.moments.choice(names)) for _ in range(2))
            first()
            self.tally.ends[self._refreshed(midway=second)] += 1
            self.look()
        until(lambda: self._refreshed() in {"published", "unchanged"}, within=WITHIN, every=1)
        self.look()
        assert self.stock.is_newest(self.published()), "what came in peace"

    def published(self) -> dict[str, str]:
        """The digests of what readers see."""
        root = self.sidecar.volume / "model/..data"
        return {path.name: digest_of(path) for path in sorted(root.resolve().iterdir())} if root.exists() else {}

    def look(self) -> None:
        """Compare what is published with what there was, and its manifest with what the server said of it."""
        generation = (self.sidecar.volume / "model/..data").resolve().parent
        manifest = json.loads((generation / "manifest.json").read_text())
        was = self.stock.holds({path.name: digest_of(path) for path in sorted((generation / "files").iterdir())})
        if was is None or not all(_belongs(manifest, name, original) for name, original in was.items()):
            self.tally.mixed += 1
            say(f"not what there was at any moment: {manifest}")

    def _refreshed(self, *, midway: Callable[[], None] | None = None) -> str:
        before = self.valve.moved
        with ThreadPoolExecutor(1) as asking:
            asked = asking.submit(self.sidecar.ask, "POST", f"/refresh/model?timeout={WITHIN:g}s")
            if midway:
                self._replace(midway, asked, before)
            answer = asked.result()
        return str(answer.json().get("result", answer.status))

    def _replace(self, put: Callable[[], None], asked: Future[Any], before: int) -> None:
        """Have it done in the middle of a file, and note whether it was done before the last byte of that."""
        # Of one file: those that are kept don't come again.
        target = before + self.moments.uniform(*MIDDLE) * self.stock.size
        until(lambda: asked.done() or self.valve.moved >= target, within=WITHIN, every=0.001)
        put()
        self.tally.midway += self.valve.moved < before + self.stock.size and not asked.done()


def _belongs(manifest: Mapping[str, Any], name: str, original: Original) -> bool:
    revision: str = manifest["files"][name]["revision"]
    return manifest["files"][name]["digest"] == original.digest and revision.split()[-1] == original.revision


def prove(directory: Path, kind: str, shelf: Shelf, *, tries: int, size: int, files: int) -> list[Line]:
    """Replace that often, and look at what was published."""
    name = f"{kind}, {files} file{'s'[: files > 1]}"
    (home := directory / f"{kind}-{files}").mkdir()
    stock = Stock(shelf, home, size // files, below="many/" if files > 1 else "")
    for number in range(files):
        stock.ready(f"model-{number}" if files > 1 else "model")()
    with valve(shelf.url, connection_rate=CONNECTION_RATE) as one:
        asset = {
            "source": shelf.source(stock.below or "model", one.url),
            "publish": {"keep": 1, "grace": "1s"},
            "refresh": {"every": "1h"},
        }
        with running(home, {"assets": {"model": asset}}, **shelf.environment()) as sidecar:
            until(lambda: (sidecar.volume / "model/..data").exists(), within=WITHIN)
            trial = Trial(sidecar, one, stock, random.Random(name))
            trial.run(tries)
    say(f"{name}: {dict(trial.tally.ends)}, {one.most_open} connections at a time")
    return judged(name, trial.tally, tries=tries)


def judged(name: str, tally: Tally, *, tries: int) -> list[Line]:
    """What has to hold of so many tries."""
    seen = tally.ends["failed"]
    return [
        Line(f"{name}: sets that never were, of {tries} looks and the last", tally.mixed, tally.mixed == 0),
        Line(f"{name}: replaced while bytes came, of {tries}", tally.midway, tally.midway >= MIDWAY * tries),
        Line(f"{name}: the same, by refresher's word", seen, seen >= SEEN * tries),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.replaced", description=__doc__)
    parser.add_argument("--tries", type=int, default=50)
    parser.add_argument("--size", type=int, default=96, help="MiB, 64 or more to come in ranges")
    given = parser.parse_args()
    lines = []
    with shelves() as (directory, kinds):
        for kind, files in (("HTTP", 1), ("S3", 1), ("S3", 3)):
            lines += prove(directory, kind, kinds[kind], tries=given.tries, size=given.size * MiB, files=files)
    conclude(f"{given.size} MiB, replaced while they were fetched {given.tries} times", lines)


if __name__ == "__main__":
    main()
