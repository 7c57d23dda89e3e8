"""`python -m bench`: all in one run, A B A B, so that both see the same machine. Ends with 0 whatever it finds."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench import measure
from bench.peers import MOUNT, Job, bao_agent, names_of, refresher, refresher_of
from bench.publishing import flip_to_call, publishing
from bench.table import Row, percentile_95, table
from refresher.demo.caddy import Caddy
from refresher.demo.openbao import OpenBao
from refresher.demo.seaweed import SeaweedFS

MANY = 100
Peer = Callable[[Path, OpenBao, int], Job]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often each start is measured, for how many seconds what runs is watched, how many refreshes are asked for."""

    starts: int = 7
    seconds: float = 60.0
    requests: int = 60
    publishes: int = 200


QUICK = Effort(starts=3, seconds=10.0, requests=20, publishes=50)


class Bench:
    """One run against one server, each job in a directory of its own."""

    def __init__(self, directory: Path, bao: OpenBao, effort: Effort) -> None:
        self._bao, self._effort = bao, effort
        self._directories = (directory / f"job-{number}" for number in count())
        bao.kv(MOUNT, 2)
        for name in names_of(MANY):
            bao.write(f"{MOUNT}/data/{name}", {"data": {"value": "unchanged"}})

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

    def small(self, s3: SeaweedFS, caddy: Caddy) -> Iterator[Row]:
        """Memory with one value, and with all four providers; the three run side by side."""
        say("watching both with 1 value, and refresher with all four providers")
        jobs = [self._job(refresher, 1), self._job(bao_agent, 1), self._all_providers(s3, caddy)]
        with ExitStack() as running:
            children = [running.enter_context(job.running()) for job in jobs]
            for job, child in zip(jobs, children, strict=True):
                measure.wait_for_files(job, child)
            time.sleep(self._effort.seconds)
            ours, theirs, everything = (measure.memory(child.pid) for child in children)
        yield Row(what="memory (RSS), 1 value", unit="MiB", ours=[ours.rss], theirs=[theirs.rss], share=0.9)
        yield Row(what="memory (PSS), 1 value", unit="MiB", ours=[ours.pss], theirs=[theirs.pss])
        yield Row(what="memory (RSS), Vault, S3, HTTP and file", unit="MiB", ours=[everything.rss])
        yield Row(what="memory (PSS), Vault, S3, HTTP and file", unit="MiB", ours=[everything.pss])

    def large(self) -> Iterator[Row]:
        """Memory and CPU with 100 unchanged values, one after the other so that neither disturbs the other."""
        say("watching one after the other with 100 unchanged values")
        (memory, idle), (peers_memory, peers_idle) = self._watched(refresher), self._watched(bao_agent)
        yield Row(what="memory (RSS), 100 values", unit="MiB", ours=[memory.rss], theirs=[peers_memory.rss], share=0.8)
        yield Row(what="memory (PSS), 100 values", unit="MiB", ours=[memory.pss], theirs=[peers_memory.pss])
        yield Row(
            what="CPU in a minute, 100 unchanged values, every 5 s",
            unit="s",
            ours=[idle.cpu],
            theirs=[peers_idle.cpu],
            share=0.1,
        )
        yield Row(
            what="looks in that minute, by the server's audit log",
            unit="requests",
            ours=[idle.requests],
            theirs=[peers_idle.requests],
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

    def _watched(self, peer: Peer) -> tuple[measure.Memory, measure.Idle]:
        job = self._job(peer, MANY)
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


def say(line: str) -> None:
    """Progress, apart from the figures."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure everything, print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fast look: fewer starts, ten seconds for a minute")
    effort = QUICK if parser.parse_args().quick else Effort()
    with ExitStack() as servers:
        directory = Path(servers.enter_context(tempfile.TemporaryDirectory(prefix="refresher-bench-")))
        roots = {name: directory / name for name in ("bao", "s3", "caddy", "jobs", "published")}
        for root in roots.values():
            root.mkdir()
        bench = Bench(roots["jobs"], servers.enter_context(OpenBao.started(roots["bao"])), effort)
        rows = [*bench.publishing(roots["published"]), *bench.starts(), *bench.large(), *bench.on_request()]
        s3 = servers.enter_context(SeaweedFS.started(roots["s3"]))
        caddy = servers.enter_context(Caddy.started(roots["caddy"]))
        rows += bench.small(s3, caddy)
    print(f"{effort.starts} starts, {effort.seconds:g} s watched, {effort.requests} refreshes; {os.cpu_count()} CPUs\n")
    print(table(rows))


if __name__ == "__main__":
    main()
