"""Large files and many: refresher beside the tools that people use, from the same servers onto the same disk.

Every round runs each tool once, beginning with another one. A first run isn't counted: after it the servers have all
in memory. Before the next tool starts, what the last one brought takes no more room, and the disk has nothing more to
write.
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.race import BARE, ONCE, RESIDENT, Race, s3_goals, web_goals
from bench.racers import Racer, Spent, configured, from_s3, from_web, refresher_once, s3_asset, surroundings, web_assets
from bench.resident import Resident
from bench.sources import BUCKET, LIST, Load, store, web
from bench.table import Row, say, table
from bench.upkeep import Upkeep
from refresher.demo.seaweed import SeaweedFS

MiB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is moved, and how often."""

    big: int = 2048 * MiB
    medium: int = 64 * MiB
    medium_files: int = 32
    small_files: int = 1000
    rounds: int = 3
    certificates: int = 20

    @property
    def loads(self) -> tuple[Load, Load, Load]:
        """One big file, several of a good size, many small ones."""
        return (
            Load(name="big", count=1, size=self.big),
            Load(name="medium", count=self.medium_files, size=self.medium),
            Load(name="small", count=self.small_files, size=16 * 1024),
        )


QUICK = Sizes(big=256 * MiB, medium=8 * MiB, medium_files=8, small_files=50, rounds=2, certificates=5)


class Transfers:
    """The servers with the files, and the races between them and the disk at `directory`."""

    def __init__(self, directory: Path, sizes: Sizes) -> None:
        self._directory, self._sizes = directory, sizes
        self._stack = ExitStack()

    def __enter__(self) -> "Transfers":
        """Start the servers and give them the files."""
        for name in ("s3", "web", "web/root", "runs", "sidecars"):
            (self._directory / name).mkdir()
        self.root = self._directory / "web/root"
        self.s3 = self._stack.enter_context(SeaweedFS.started(self._directory / "s3"))
        self.web = self._stack.enter_context(web(self._directory / "web"))
        self.s3.bucket(BUCKET)
        for load in self._sizes.loads:
            say(f"making and storing {load.shown}")
            load.make(self.root)
            store(self.s3, self.root, load, names=load.files)
        os.sync()
        return self

    def __exit__(self, *_: object) -> None:
        """End the servers."""
        self._stack.close()

    def s3_races(self) -> Iterator[Race]:
        """All loads."""
        for load in self._sizes.loads:
            yield self._race("SeaweedFS", load, from_s3(load), {"set": s3_asset(load, self.s3.endpoint_url)})

    def web_races(self) -> Iterator[Race]:
        """All loads but the small files: each file of a web server is an asset."""
        for load in self._sizes.loads[:2]:
            yield self._race(self.web.program, load, from_web(load, self.web), web_assets(load, self.web, self.root))

    def upkeep(self) -> Iterator[Row]:
        """What a running sidecar needs."""
        big, medium, small = self._sizes.loads
        upkeep = Upkeep(
            directory=self._directory / "sidecars",
            root=self.root,
            s3=self.s3,
            web=self.web,
            environment=self._environment(big),
        )
        say("looking at unchanged objects")
        looks = upkeep.unchanged(small)
        yield Row(what=f"a look at {small.count} unchanged objects", unit="requests", ours=[looks.requests], limit=2)
        yield Row(what="the same, CPU", unit="ms", ours=[looks.cpu], limit=50)
        say("changing one file of many")
        changed, alone = upkeep.one_changed(medium, times=self._sizes.rounds)
        what = f"one changed file of {medium.count}, beside that file alone"
        yield Row(what=what, unit="s", ours=changed, theirs=alone, share=1.2)
        say("refreshing a certificate during a download")
        during, without = upkeep.certificate(big, times=self._sizes.certificates)
        what = f"a certificate during {big.shown}, beside without"
        yield Row(what=what, unit="ms", ours=during, theirs=without, above=50)

    def _race(self, server: str, load: Load, peers: Sequence[Racer], assets: Mapping[str, Any]) -> Race:
        race = Race(server, load)
        racers = [racer for peer in peers for racer in (peer.completed(), peer)]
        entries = [partial(self._run_once, race, assets), partial(self._run_resident, race, assets)]
        entries += [partial(self._run, race, racer) for racer in racers]
        for uncounted in racers[-1:]:
            self._run(Race(server, load), uncounted)
        for number in range(self._sizes.rounds):
            say(f"{load.shown} from {server}, round {number + 1}")
            first = number % len(entries)
            for entry in entries[first:] + entries[:first]:
                entry()
        return race

    def _run(self, race: Race, racer: Racer) -> None:
        name = racer.name if racer.complete else f"{racer.name}, {BARE}"
        with _Place(self._directory / "runs") as place:
            race.note(name, racer.run(place, self._environment(race.load)))

    def _run_once(self, race: Race, assets: Mapping[str, Any]) -> None:
        with _Place(self._directory / "runs") as place:
            config, _ = configured(place, assets)
            spent = refresher_once(config).run(place, self._environment(race.load))
            logged = [json.loads(line) for line in (place / "log").read_text().splitlines() if line.startswith("{")]
        race.note(ONCE, spent, max(line.get("duration", 0) for line in logged))

    def _run_resident(self, race: Race, assets: Mapping[str, Any]) -> None:
        environment = self._environment(race.load)
        with (
            _Place(self._directory / "runs") as place,
            Resident.running(place, assets, environment) as resident,
        ):
            spent = Spent(resident.ready_after, resident.cpu, resident.peak)
            race.note(RESIDENT, spent, max(resident.published.values()))

    def _environment(self, load: Load) -> dict[str, str]:
        return surroundings(self.s3, self._directory, self.root / load.name / LIST)


class _Place:
    """A directory for one run, whose files are empty afterwards, and gone at the end of all.

    For each new file, ext4 asks which inodes were deleted in the last minutes (`recently_deleted` in fs/ext4/ialloc.c):
    a tool after which a thousand files are removed would cost the next one a third of its time.
    """

    def __init__(self, above: Path) -> None:
        self._path = Path(tempfile.mkdtemp(dir=above))

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *_: object) -> None:
        for file in self._path.rglob("*"):
            if file.is_file() and not file.is_symlink():
                os.truncate(file, 0)
        os.sync()


def transfers(directory: Path, sizes: Sizes) -> None:
    """Run all races, print their tables and what was to be reached."""
    with Transfers(directory, sizes) as running:
        big, medium, small = running.s3_races()
        web_big, web_medium = running.web_races()
        rows = [*s3_goals(big, small), *web_goals(web_big), *running.upkeep()]
        web_server = running.web.program
    print(f"{sizes.rounds} rounds; web server: {web_server}; {os.cpu_count()} CPUs; Python {sys.version.split()[0]}\n")
    print(
        "Digests checked, fsync, renamed into place, unless it says `download only`; whole processes, start included.\n"
    )
    print("\n\n".join(race.table() for race in (big, medium, small, web_big, web_medium)))
    print(f"\n{table(rows, peer='peer')}")
