"""Fifty pods with the same short certificate, and one server: `python -m tests.soak.fleet`.

Claims: started together, the pods ask the server in its busiest second at most eight times as often as in an average
one, from the moment when each has renewed once, and again after an outage that all of them met; and while the server
answers, nobody's certificate expires. `--peer`: the same with as many `bao agent`, for the figures beside ours.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from bench.peers import bao_agent_of
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar
from tests.soak.lab import Line, asked, authority, conclude, now, say

LARGEST = 8
"""Times the mean, that the busiest second may bring."""
LOOK = 0.2
AFTER = 60
"""Seconds after the outage: three renewals of everybody, and what came of the retries is in the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many pods, how many seconds their certificates live, the server answers, and is out."""

    pods: int
    ttl: int
    seconds: int
    outage: int


@contextmanager
def sidecars(directory: Path, pki: Pki, size: Size) -> Iterator[list[Path]]:
    """So many sidecars, each named as a pod would be; the certificates that they publish."""
    pods = [_sidecar(directory / f"pod-{number:02d}", pki, size.ttl) for number in range(size.pods)]
    with ExitStack() as running:
        for pod in pods:
            pod.begin()
            running.callback(pod.stop)
        yield [pod.volume / "web" / "tls.crt" for pod in pods]


def _sidecar(directory: Path, pki: Pki, ttl: int) -> Sidecar:
    directory.mkdir()
    # Sockets, because of a hundred free ports that were looked for at once some would be the same.
    listeners = {"control": {"listen": f"unix:{directory}/control.sock"}, "probes": {"listen": "off"}}
    configuration = pki.configuration(web=pki.asset(ttl=f"{ttl}s")) | listeners
    return Sidecar(directory, configuration, {"HOSTNAME": f"web-7d4b9c-{directory.name}"})


@contextmanager
def agents(directory: Path, pki: Pki, size: Size) -> Iterator[list[Path]]:
    """As many `bao agent`; the certificates that they render."""
    ask = f'pkiCert "{pki.mount}/issue/web" "common_name=web.example.com" "ttl={size.ttl}s"'
    template = f"{{{{ with {ask} }}}}{{{{ .Cert }}}}{{{{ .Key }}}}{{{{ end }}}}"
    jobs = [bao_agent_of(directory / f"pod-{number:02d}", pki.bao, {"pair": template}) for number in range(size.pods)]
    with ExitStack() as running:
        for job in jobs:
            running.enter_context(job.running())
        yield [job.files[0] for job in jobs]


class Watch:
    """Looks at everybody's certificate: how many each had, and how little was left of any."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.serials: dict[Path, set[int]] = {file: set() for file in files}
        self.least = float("inf")

    def rotations(self) -> int:
        """The fewest that any pod has seen."""
        return min(len(serials) for serials in self.serials.values()) - 1

    def look_for(self, seconds: float, *, or_until: Callable[[], bool] = lambda: False) -> float:
        """Look so long, and answer how little was left meanwhile, in seconds; negative, if one had expired."""
        deadline, self.least = time.monotonic() + seconds, float("inf")
        while time.monotonic() < deadline and not or_until():
            for file in self.serials:
                self._look(file)
            time.sleep(LOOK)
        return self.least

    def _look(self, file: Path) -> None:
        try:
            certificate = x509.load_pem_x509_certificate(file.read_bytes())
        except FileNotFoundError:
            return
        self.serials[file].add(certificate.serial_number)
        self.least = min(self.least, (certificate.not_valid_after_utc - now()).total_seconds())


@dataclass(frozen=True, slots=True)
class Load:
    """Certificates that were asked for: in the busiest second, and in a mean one."""

    busiest: int
    mean: float

    @property
    def ratio(self) -> float:
        return self.busiest / self.mean if self.mean else float("inf")

    def __str__(self) -> str:
        return f"{self.busiest} / {self.mean:.2f} = {self.ratio:.1f}"


def load(pki: Pki, begin: datetime, end: datetime) -> Load:
    """What the server was asked between the two moments, by its audit log."""
    seconds = Counter((moment - begin) // timedelta(seconds=1) for moment in asked(pki) if begin <= moment < end)
    return Load(max(seconds.values(), default=0), seconds.total() / (end - begin).total_seconds())


@dataclass(frozen=True, slots=True)
class Found:
    """What a fleet asked of the server in steady state and after the outage, and how little life was left in steady."""

    steady: Load
    least: float
    after: Load
    recovered: bool


def observed(files: Sequence[Path], pki: Pki, size: Size) -> Found:
    """Watch a fleet that is starting, first with the server and then after an outage."""
    watch = Watch(files)
    watch.look_for(300, or_until=lambda: watch.rotations() >= 1)
    say(f"everybody renewed {watch.rotations()} time or more, {len(asked(pki))} certificates so far")
    begin = now()
    least = watch.look_for(size.seconds)
    steady = load(pki, begin, now())
    say(f"busiest second / mean: {steady}; the server goes out for {size.outage} s")
    pki.bao.seal()
    watch.look_for(size.outage)
    pki.bao.unseal()
    begin, had = now(), {file: len(serials) for file, serials in watch.serials.items()}
    watch.look_for(AFTER)
    after = load(pki, begin, now())
    say(f"busiest second / mean after the outage: {after}")
    return Found(steady, least, after, all(len(watch.serials[file]) > had[file] for file in files))


def judged(found: Found) -> list[Line]:
    """Our claims."""
    return [
        Line("busiest second / mean second", found.steady, found.steady.ratio <= LARGEST),
        Line("least life left in anybody's certificate", f"{found.least:.1f} s", found.least > 0),
        Line("busiest / mean second after the outage", found.after, found.after.ratio <= LARGEST),
        Line("everybody has a new one after the outage", found.recovered, found.recovered),
    ]


def told(found: Found) -> list[Line]:
    """The peer's figures, of which nothing is claimed."""
    return [
        Line("bao agent: busiest second / mean second", found.steady),
        Line("bao agent: least life left", f"{found.least:.1f} s"),
        Line("bao agent: busiest / mean after the outage", found.after),
    ]


def prove(directory: Path, pki: Pki, size: Size, *, peers: Size | None) -> list[Line]:
    """Our fleet, and then perhaps the peer's."""
    with sidecars(directory, pki, size) as files:
        say(f"{size.pods} sidecars begin")
        lines = judged(observed(files, pki, size))
    if peers:
        (directory / "peers").mkdir()
        theirs = Pki(pki.bao, directory / "peers")
        with agents(directory / "peers", theirs, peers) as files:
            say(f"{peers.pods} bao agents begin")
            lines += told(observed(files, theirs, peers))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fleet", description=__doc__)
    parser.add_argument("--pods", type=int, default=50)
    parser.add_argument("--ttl", type=int, default=30, help="seconds that a certificate lives")
    parser.add_argument("--seconds", type=int, default=300, help="of steady state")
    parser.add_argument("--outage", type=int, default=25, help="seconds")
    parser.add_argument("--peer", action="store_true", help="as many bao agents afterwards, for their figures")
    parser.add_argument("--peer-seconds", type=int, default=120)
    given = parser.parse_args()
    size = Size(pods=given.pods, ttl=given.ttl, seconds=given.seconds, outage=given.outage)
    peers = Size(pods=given.pods, ttl=given.ttl, seconds=given.peer_seconds, outage=given.outage)
    with authority() as (directory, pki):
        lines = prove(directory, pki, size, peers=peers if given.peer else None)
    conclude(f"{size.pods} pods, certificates of {size.ttl} s, {size.seconds} s, an outage of {size.outage} s", lines)


if __name__ == "__main__":
    main()
