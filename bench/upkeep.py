"""What large files cost a sidecar that runs: looks at what is unchanged, one changed file of many, and a certificate
that is due while a big download is under way.
"""

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.counted import counted
from bench.racers import s3_asset
from bench.resident import Resident
from bench.sources import LIST, Load, Web, store, written
from refresher.demo.seaweed import SeaweedFS

CERTIFICATES = 4
"""Assets that take turns, so that none of them is asked for too often."""
CERTIFICATE_SIZE = 2048
LOOKS = 10
"""Refreshes of one asset that the sidecar allows in a burst."""
DOWNLOADS = 100
"""At most so many, until enough refreshes began within them."""
REST = 1.0
"""Seconds after which an asset may be refreshed again, however often it was before: asked sooner it would refuse."""
PAUSE = REST / CERTIFICATES
EARLIEST = 1_000_000_000
"""Unix time. Caddy gives files of the seconds 0 and 1 no ETag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """Of one look at unchanged objects: requests that the server saw, CPU milliseconds of the sidecar."""

    requests: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """The servers with the files on them, whose originals are in `root`, and a directory for sidecars."""

    directory: Path
    root: Path
    s3: SeaweedFS
    web: Web
    environment: Mapping[str, str]
    _renewals: Iterator[int] = field(default_factory=count)

    def unchanged(self, load: Load) -> Looks:
        """What a look costs when nothing has changed, the mean of nine."""
        with counted(self.s3.endpoint_url) as way:
            assets = {"still": s3_asset(load, way.url)}
            with Resident.running(self.directory / "unchanged", assets, self.environment) as resident:
                # The first look after a start isn't counted: connections are opened, modules loaded.
                resident.refresh("still", result="unchanged")
                requests, cpu = way.requests, resident.cpu
                for _ in range(LOOKS - 1):
                    resident.refresh("still", result="unchanged")
                return Looks(
                    requests=(way.requests - requests) / (LOOKS - 1), cpu=(resident.cpu - cpu) * 1000 / (LOOKS - 1)
                )

    def one_changed(self, load: Load, *, times: int) -> tuple[list[float], list[float]]:
        """Seconds of a refresh of all files of which one has changed, and of an asset that is that file alone."""
        alone = Load(name="alone", count=1, size=load.size)
        alone.make(self.root)
        store(self.s3, self.root, alone, names=alone.files)
        assets = {"all": s3_asset(load, self.s3.endpoint_url), "alone": s3_asset(alone, self.s3.endpoint_url)}
        one_of_many: list[float] = []
        by_itself: list[float] = []
        with Resident.running(self.directory / "one-changed", assets, self.environment) as resident:
            for number in range(times):
                self._change(load, number % load.count)
                self._change(alone, 0)
                turns = [("alone", by_itself), ("all", one_of_many)]
                for asset, took in turns if number % 2 else reversed(turns):
                    took.append(resident.refresh(asset, result="published"))
        return one_of_many, by_itself

    def certificate(self, big: Load, *, times: int) -> tuple[list[float], list[float]]:
        """Milliseconds of refreshes of a small asset, during a download of the big file and without one."""
        names = [f"certificate-{number}" for number in range(CERTIFICATES)]
        for name in names:
            self._renew(name)
        assets = {name: {"source": {"http": {"url": f"{self.web.url}/{name}"}}} for name in names}
        # Without a digest in the configuration: nothing but its bytes may tell that it is the same.
        assets["big"] = {"source": {"http": {"url": f"{self.web.url}/{big.name}/{big.files[0]}"}}}
        during: list[float] = []
        without: list[float] = []
        with (
            Resident.running(self.directory / "certificate", assets, self.environment) as resident,
            ThreadPoolExecutor(1) as pool,
        ):
            for number in range(DOWNLOADS):
                if len(during) >= times:
                    return during, without
                _touch(self.root / big.name / big.files[0], number)
                download = pool.submit(resident.refresh, "big", result="unchanged")
                taken = self._during(download, resident, names)
                during += taken
                time.sleep(REST)
                for turn in range(len(taken)):
                    without.append(self._refreshed(resident, names, turn))
                    time.sleep(PAUSE)
        raise RuntimeError(f"{big.shown} are downloaded too fast: {len(during)} refreshes fitted in")

    def _during(self, download: Future[float], resident: Resident, names: list[str]) -> list[float]:
        """What refreshes took that began within the download."""
        taken: list[float] = []
        # One that ends after the download counts, too: to wait for the download is what must not happen.
        while not wait([download], timeout=PAUSE).done:
            taken.append(self._refreshed(resident, names, len(taken)))
        download.result()
        return taken

    def _refreshed(self, resident: Resident, names: list[str], number: int) -> float:
        name = names[number % len(names)]
        self._renew(name)
        return resident.refresh(name, result="published") * 1000

    def _renew(self, name: str) -> None:
        new = self.root / f"{name}.new"
        written(new, CERTIFICATE_SIZE)
        _touch(new, next(self._renewals))
        new.rename(self.root / name)

    def _change(self, load: Load, number: int) -> None:
        """Give one of the load's files other content, and the list its digest."""
        directory, name = self.root / load.name, load.files[number]
        digests = [line.split()[0] for line in (directory / LIST).read_text().splitlines()]
        digests[number] = written(directory / name, load.size)
        load.write_list(directory, digests)
        store(self.s3, self.root, load, names=[name])


def _touch(file: Path, number: int) -> None:
    """Have the web server give the file another ETag: the same bytes are fetched again. nginx's tell seconds only."""
    moment = EARLIEST + number
    os.utime(file, (moment, moment))
