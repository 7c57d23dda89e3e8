"""A sidecar that isn't restarted, while its sources and apps come and go: `python -m tests.soak.faults --minutes 30`.

Claims: every outcome is accounted for: what the metrics count is what the log says, thinned as it is, what the server's
audit log says, and what the apps answered; memory, descriptors and threads stay flat; in the end every asset is well,
and the apps hold the last generation.
"""

import argparse
import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.journeys.sidecar import Sidecar, running
from tests.soak.flapping import ASSETS, AUDITED, FAR, FAULTS, NEAR, Scene, scene
from tests.soak.lab import Line, conclude, say
from tests.soak.vitals import Vitals, watched
from tests.waiting import until

FAULT, CALM = 5.0, 5.0
"""Seconds that each fault lasts, and those after it: one after another they take two minutes."""
WARM_UP = 1 / 3
"""Share of the time in which memory, descriptors and threads may still grow."""
AS_IN_THE_IMAGE = {"MALLOC_ARENA_MAX": "2"}
"""Without it malloc has an arena for each of up to sixteen threads, and each keeps some of what it was given back."""
RISES = {"memory": 6.0, "descriptors": 6.0, "threads": 6.0}
"""The most that each may rise after that, by a straight line through its samples; memory in MiB.

Measured over 13 minutes: memory +2.1, descriptors -0.7, threads -1.2. What rises is what malloc keeps: it has given out
20.4 MiB after two minutes, 20.4 after nine and 20.3 after twelve, and keeps 4.0, 4.3 and 5.5 (mallinfo2). With an arena
a thread it has given out as much, and keeps 9.2 after six minutes already. Python's collector knows 37,700 objects
after one minute and 37,900 after five.
"""
WENT_WRONG = ("failed", "rejected")

Counts = Counter[tuple[str, ...]]


class Books:
    """The same events as they were counted in different places."""

    def __init__(self, on: Scene, sidecar: Sidecar) -> None:
        self._scene, self._sidecar = on, sidecar

    def closed(self) -> dict[str, object]:
        """The differences once there are none, or those that stay: what is under way isn't counted everywhere."""
        found: dict[str, object] = {}

        def agree() -> bool:
            nonlocal found
            found = self.differences()
            return not found

        settled(agree, within=20)
        return found

    def differences(self) -> dict[str, object]:
        """What doesn't add up, and how; nothing if all does."""
        metrics, log = self.metrics(), self.log()
        pairs = {
            f"{asset}: {what}": (one, other)
            for asset in ASSETS
            for what, one, other in (*self._refreshes(asset, metrics, log), *self._tellings(asset, metrics, log))
        }
        return {what: pair for what, pair in pairs.items() if pair[0] != pair[1]}

    def metrics(self) -> Counts:
        """Each counter, by the values of its labels and the end of its name."""
        families = text_string_to_metric_families(self._sidecar.metrics())
        samples = (sample for family in families for sample in family.samples if sample.name.endswith("s_total"))
        return Counter(
            {
                (sample.name, sample.labels["asset"], sample.labels["result"]): int(sample.value)
                for sample in samples
                if "result" in sample.labels
            }
        )

    def log(self) -> Counts:
        """Published lines, and failures as the lines that end them or the last one before the end say."""
        counts: Counts = Counter()
        for who, lines in _by_who(self._sidecar.logged_lines()).items():
            counts["published", *who] = sum(line["result"] == "published" for line in lines)
            ended = sum(line["failures"] for line in lines if "failing_for" in line)
            last = lines[-1]
            counts["failures", *who] = ended + (0 if "failing_for" in last else last.get("failures", 0))
        return counts

    def audited(self, asset: str) -> int:
        """Answers of the server that arrived."""
        given = sum(
            entry["type"] == "response" and entry["request"]["path"] == AUDITED[asset] and "error" not in entry
            and entry["request"]["operation"] == ("read" if asset == "values" else "update")
            and entry["auth"]["token_policies"] != ["root"]
            for entry in self._scene.bao.audited()
        )  # fmt: skip
        return given - self._scene.cut[asset]

    def _refreshes(self, asset: str, metrics: Counts, log: Counts) -> Iterator[tuple[str, int, int]]:
        def counted(*results: str) -> int:
            return sum(metrics["refresher_refreshes_total", asset, result] for result in results)

        yield "published, by metrics and log", counted("published"), log["published", asset, "refresh"]
        yield "failures, by metrics and log", counted(*WENT_WRONG), log["failures", asset, "refresh"]
        if asset in AUDITED:
            # A look at a certificate asks whether it was revoked, and never for another one.
            results = ("published",) if asset == "certificate" else ("published", "unchanged")
            yield "answers, by metrics and the server", counted(*results), self.audited(asset)

    def _tellings(self, asset: str, metrics: Counts, log: Counts) -> Iterator[tuple[str, int, int]]:
        counted = {
            result: metrics["refresher_notifications_total", asset, result] for result in ("told", "failed", "rejected")
        }
        answered = self._scene.container(asset).answered
        yield "told, by metrics and the app", counted["told"], answered[asset, 200]
        yield "refused, by metrics and the app", counted["rejected"], answered[asset, 409]
        yield "not told, by metrics and log", counted["failed"], log["failures", asset, "notify"]
        if asset in NEAR:
            yield "not told, by metrics and the app", counted["failed"], answered[asset, 500] + answered[asset, None]


def _by_who(lines: Sequence[dict]) -> dict[tuple[str, str], list[dict]]:
    """Outcomes and tellings of each asset, oldest first."""
    found: dict[tuple[str, str], list[dict]] = {}
    for line in lines:
        if "result" in line:
            kind = "notify" if line.get("step") == "notify" else "refresh"
            found.setdefault((line["asset"], kind), []).append(line)
    return found


def are_well(on: Scene, sidecar: Sidecar) -> bool:
    """Whether every asset is, and its app holds the generation that is visible."""
    states = [sidecar.state(asset) for asset in ASSETS]
    return all(
        state["consecutive_failures"] == 0
        and state["generation"]
        == state["notified_generation"]
        == on.container(state["asset"]).holds.get(state["asset"])
        for state in states
    )


def flap(on: Scene, seconds: float) -> Counter[str]:
    """One fault after another for so long; how often each befell."""
    befell: Counter[str] = Counter()
    end = time.monotonic() + seconds
    for fault in cycle(FAULTS):
        if time.monotonic() + FAULT + CALM > end + 1:
            return befell
        fault.begin(on)
        befell[fault.name] += 1
        _pass(on, FAULT)
        fault.end(on)
        _pass(on, CALM)
        say(f"{fault.name}: over")
    raise AssertionError


def _pass(on: Scene, seconds: float) -> None:
    """Let time pass, in which content changes."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        on.change()
        time.sleep(min(left, 1.5))


def settled(check: Callable[[], bool], within: float) -> bool:
    with contextlib.suppress(AssertionError):
        return until(check, within=within, every=0.2)
    return False


def prove(directory: Path, *, seconds: float) -> list[Line]:
    """Let faults come and go, and then look at everything."""
    with scene(directory) as on, _running(directory, on) as sidecar:
        until(lambda: are_well(on, sidecar), within=60)
        assert sidecar.process is not None
        with watched(sidecar.process.pid) as vitals:
            befell = flap(on, seconds)
        on.change()
        same = settled(lambda: all(_content(sidecar, asset) == _original(on, asset) for asset in FAR), within=60)
        well = settled(lambda: are_well(on, sidecar), within=60)
        books = Books(on, sidecar)
        differences, metrics = books.closed(), books.metrics()
    return [
        Line("faults that befell", befell.total(), befell.total() > 0),
        *_outcomes(metrics),
        Line("lines of the log", len(sidecar.logged_lines())),
        *(Line(f"doesn't add up: {what}", pair, False) for what, pair in differences.items()),
        Line("all is accounted for", not differences, not differences),
        Line("all assets well, apps hold what is visible", well, well),
        Line("the last content of the sources is visible", same, same),
        *_flatness(vitals),
    ]


def _running(directory: Path, on: Scene) -> contextlib.AbstractContextManager[Sidecar]:
    return running(directory, on.configuration(directory), **AS_IN_THE_IMAGE, **_login(on))


def _login(on: Scene) -> dict[str, str]:
    return {"AWS_ACCESS_KEY_ID": on.seaweed.access_key, "AWS_SECRET_ACCESS_KEY": on.seaweed.secret_key}


def _content(sidecar: Sidecar, asset: str) -> bytes:
    return (sidecar.volume / asset / asset).read_bytes()


def _original(on: Scene, asset: str) -> bytes:
    if asset == "page":
        return (on.web.caddy.root / "page").read_bytes()
    with contextlib.closing(on.seaweed.client()) as client:
        return client.get_object(Bucket=on.bucket, Key="model")["Body"].read()


def _outcomes(metrics: Counts) -> Iterator[Line]:
    for name in ("refreshes", "notifications"):
        for result in sorted({key[2] for key in metrics if key[0] == f"refresher_{name}_total"}):
            total = sum(
                count for key, count in metrics.items() if key[0] == f"refresher_{name}_total" and key[2] == result
            )
            yield Line(f"{name}: {result}", total)


def _flatness(vitals: Vitals) -> Iterator[Line]:
    for figure, bound in RISES.items():
        course = vitals.course(figure, warm_up=WARM_UP)
        yield Line(f"{figure}, by fifths of the time", vitals.by_fifths(figure))
        yield Line(f"{figure}, median and rise", course, course.rise <= bound)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refresher-soak-") as directory:
        lines = prove(Path(directory), seconds=given.minutes * 60)
    conclude(f"{given.minutes:g} minutes of faults, one sidecar", lines)


if __name__ == "__main__":
    main()
