"""Many small secrets: refresher beside `bao agent`, A B A B, so that both see the same machine."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from bench import measure
from bench.peers import (
    FIELDS,
    MOUNT,
    TOGETHER,
    Job,
    bao_agent,
    bao_agent_on_one_path,
    names_of,
    refresher,
    refresher_of,
    refresher_on_one_path,
)
from bench.publishing import flip_to_call, publishing
from bench.table import Row, percentile_95, say, table
from refresher.demo.caddy import Caddy
from refresher.demo.openbao import OpenBao
from refresher.demo.seaweed import SeaweedFS

MANY, MOST = 100, 500
Measured = TypeVar("Measured")
CPU = {MANY: 0.07}
RSS = {1: 0.9, MANY: 0.8}
REQUESTS = {MANY: 0.9}
"""What should be reached with so many values, as shares of the peer's median."""
LOOKS = 60 / 5 * 1.1
"""Requests in a minute if ten assets share one every 5 s, which comes up to 10% early."""
Peer = Callable[[Path, OpenBao, int], Job]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often each start is measured, for how many seconds what runs is watched, and with 100 values how often; how
    many refreshes are asked for.
    """

    starts: int = 7
    seconds: float = 60.0
    watches: int = 3
    requests: int = 60
    publishes: int = 200


QUICK = Effort(starts=3, seconds=10.0, watches=1, requests=20, publishes=50)


class Values:
    """One run against one server, each job in a directory of its own."""

    def __init__(self, directory: Path, bao: OpenBao, effort: Effort) -> None:
        self._bao, self._effort = bao, effort
        self._directories = (directory / f"job-{number}" for number in count())
        bao.kv(MOUNT, 2)
        for name in names_of(MOST):
            bao.write(f"{MOUNT}/data/{name}", {"data": {"value": "unchanged"}})
        bao.write(f"{MOUNT}/data/{TOGETHER}", {"data": dict.fromkeys(FIELDS, "unchanged")})

    def starts(self) -> Iterator[Row]:
        """From the spawn of the process to its files."""
        say("starting both with 1 and with 100 values")
        first = self._alternated(1)
        yield Row(
            what="spawn to the first file, 1 value",
            unit="s",
            ours=[start.first for start in first[0]],
            theirs=[start.first for start in first[1]],
            limit=0.7,
        )
        many = self._alternated(MANY)
        yield Row(
            what="spawn to all files, 100 values",
            unit="s",
            ours=[start.last for start in many[0]],
            theirs=[start.last for start in many[1]],
            share=1.0,
        )

    def all_providers(self, s3: SeaweedFS, caddy: Caddy) -> Iterator[Row]:
        """Memory with all four providers."""
        say("watching refresher with all four providers")
        memory, _ = self._watched(self._all_providers(s3, caddy))
        yield Row(what="memory (RSS), Vault, S3, HTTP and file", unit="MiB", ours=[memory.rss])
        yield Row(what="memory (PSS), Vault, S3, HTTP and file", unit="MiB", ours=[memory.pss])

    def watching(self, values: int, *, times: int = 1) -> Iterator[Row]:
        """What unchanged values cost, one after the other so that neither disturbs the other."""
        say(f"watching one after the other with {counted(values)}")
        pairs = [
            (self._watched(self._job(refresher, values)), self._watched(self._job(bao_agent, values)))
            for _ in range(times)
        ]
        memory = [(ours, theirs) for (ours, _), (theirs, _) in pairs]
        idle = [(ours, theirs) for (_, ours), (_, theirs) in pairs]
        unchanged = f"CPU in a minute, {counted(values)} unchanged, every 5 s"
        looks = "looks in that minute, by the server's audit log"
        yield _row(f"memory (RSS), {counted(values)}", "MiB", memory, lambda each: each.rss, RSS.get(values))
        yield _row(f"memory (PSS), {counted(values)}", "MiB", memory, lambda each: each.pss)
        yield _row(unchanged, "s", idle, lambda each: each.cpu, CPU.get(values))
        yield _row(looks, "requests", idle, lambda each: each.requests, REQUESTS.get(values))

    def one_path(self) -> Iterator[Row]:
        """What ten assets ask that need a field each of the same path."""
        say("watching one after the other with ten fields of one path")
        peers = (refresher_on_one_path, bao_agent_on_one_path)
        (_, ours), (_, theirs) = (self._watched(peer(next(self._directories), self._bao)) for peer in peers)
        yield Row(
            what="looks in a minute, ten assets with a field each of one path",
            unit="requests",
            ours=[ours.requests],
            theirs=[theirs.requests],
            limit=LOOKS,
        )

    def on_request(self) -> Iterator[Row]:
        """From POST to the new file; the peer can't be asked."""
        say("asking refresher for changed values")
        job = refresher(next(self._directories), self._bao, MANY, every="1h")
        with job.running() as child:
            measure.wait_for_files(job, child)
            measure.wait_for_api(job)
            took = [seconds * 1000 for seconds in measure.on_request(job, self._bao, count=self._effort.requests)]
        yield Row(what="POST /refresh/ASSET to visible", unit="ms", ours=took, limit=50)
        yield Row(what="the same, 95th percentile", unit="ms", ours=[percentile_95(took)])

    def publishing(self, directory: Path) -> Iterator[Row]:
        """The cost of publishing beside a plain write, and the way from the flip to the app."""
        say("publishing three files, and telling an app")
        ours, plain, synced = publishing(directory, count=self._effort.publishes)
        milliseconds = [[seconds * 1000 for seconds in each] for each in (ours, plain, synced)]
        yield Row(
            what="refresh of 3 files, beside write + rename", unit="ms", ours=milliseconds[0], theirs=milliseconds[1]
        )
        yield Row(
            what="the same, beside write + fsync + rename", unit="ms", ours=milliseconds[0], theirs=milliseconds[2]
        )
        called = [seconds * 1000 for seconds in flip_to_call(directory, count=self._effort.publishes)]
        yield Row(what="flip to the call at the app", unit="ms", ours=called, limit=5)

    def _job(self, peer: Peer, values: int) -> Job:
        return peer(next(self._directories), self._bao, values)

    def _alternated(self, values: int) -> tuple[list[measure.Start], list[measure.Start]]:
        pairs = [
            (measure.start(self._job(refresher, values)), measure.start(self._job(bao_agent, values)))
            for _ in range(self._effort.starts)
        ]
        return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]

    def _watched(self, job: Job) -> tuple[measure.Memory, measure.Idle]:
        with job.running() as child:
            measure.wait_for_files(job, child)
            idle = measure.idle(child.pid, self._bao, seconds=self._effort.seconds)
            return measure.memory(child.pid), idle

    def _all_providers(self, s3: SeaweedFS, caddy: Caddy) -> Job:
        s3.client().put_object(Bucket=s3.bucket("bench"), Key="object", Body=b"object")
        (caddy.root / "page.txt").write_text("page")
        directory = next(self._directories)
        directory.mkdir()
        (directory / "local.txt").write_text("local")
        (directory / ".aws").mkdir()
        keys = f"[default]\naws_access_key_id = {s3.access_key}\naws_secret_access_key = {s3.secret_key}\n"
        (directory / ".aws" / "credentials").write_text(keys)
        bucket = {"bucket": "bench", "key": "object", "endpoint_url": s3.endpoint_url, "region": s3.region}
        sources = {
            "vault": f"vault://{MOUNT}/{names_of(1)[0]}",
            "s3": {"s3": bucket},
            "http": f"{caddy.url}/page.txt",
            "file": f"file://{directory}/local.txt",
        }
        return refresher_of(directory, self._bao, sources)


def _row(
    what: str,
    unit: str,
    pairs: Sequence[tuple[Measured, Measured]],
    figure: Callable[[Measured], float],
    share: float | None = None,
) -> Row:
    """One figure of what was measured of both, ours first in each pair."""
    ours, theirs = [figure(one) for one, _ in pairs], [figure(other) for _, other in pairs]
    return Row(what=what, unit=unit, ours=ours, theirs=theirs, share=share)


def counted(values: int) -> str:
    """The number of values in words."""
    return "1 value" if values == 1 else f"{values} values"


def values(directory: Path, effort: Effort) -> None:
    """Measure everything, print the table."""
    roots = {name: directory / name for name in ("bao", "s3", "caddy", "jobs", "published")}
    for root in roots.values():
        root.mkdir()
    with ExitStack() as servers:
        bench = Values(roots["jobs"], servers.enter_context(OpenBao.started(roots["bao"])), effort)
        rows = [*bench.publishing(roots["published"]), *bench.starts(), *bench.watching(1)]
        rows += [*bench.watching(MANY, times=effort.watches), *bench.watching(MOST)]
        rows += [*bench.one_path(), *bench.on_request()]
        s3 = servers.enter_context(SeaweedFS.started(roots["s3"]))
        caddy = servers.enter_context(Caddy.started(roots["caddy"]))
        rows += bench.all_providers(s3, caddy)
    print(f"{effort.starts} starts, {effort.seconds:g} s watched, {effort.requests} refreshes; {os.cpu_count()} CPUs\n")
    print(table(rows, peer="bao agent"))
