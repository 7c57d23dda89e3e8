"""A source, and its server's clock beside ours."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from refresher.abilities import Observation, Verdict
from refresher.doctor.source import skew, source
from refresher.model import NamedVerifier
from refresher.sources.provider import Sources
from tests.fakes.source import NOON, Judge, Source, Time, asset

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@dataclass
class Server(Source):
    """A source with a clock of its own, which it shows in each of its answers."""

    ahead: timedelta = timedelta(0)

    def diagnose(self) -> Iterator[Observation]:
        yield Observation.ok("name", "found")
        yield Observation.ok("health", "active", server_time=NOON + self.ahead)
        yield Observation.ok("right", "read", server_time=NOON + self.ahead)


def judged(volume: Path, ahead: timedelta, *, verifier: str) -> Observation:
    web = asset(volume, Server(ahead=ahead), verifiers=(NamedVerifier(name=verifier, verifier=Judge()),))
    found = list(source(web, clock=Time()))
    assert [each.of for each in found] == ["name", "health", "clock", "right"]
    return found[2]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("apart", "verifier", "verdict"),
    [
        (5 * SECOND, "certificate", Verdict.OK),
        (6 * SECOND, "certificate", Verdict.WARN),
        (30 * SECOND, "certificate", Verdict.WARN),
        (31 * SECOND, "certificate", Verdict.FAIL),
        (31 * SECOND, "checksums", Verdict.WARN),
        (16 * MINUTE, "checksums", Verdict.FAIL),
    ],
)
def test_a_clock_is_judged_by_what_depends_on_it(
    tmp_path: Path, apart: timedelta, verifier: str, verdict: Verdict, sign: int
) -> None:
    assert judged(tmp_path, sign * apart, verifier=verifier).verdict is verdict


def test_each_of_several_servers_has_a_clock_of_its_own(tmp_path: Path) -> None:
    servers = {"right": Server(), "wrong": Server(ahead=MINUTE * 60)}
    web = asset(tmp_path, Source(), provider=Sources(servers, timeout=MINUTE))
    found = {each.of: each.verdict for each in source(web, clock=Time()) if each.of.endswith("clock")}
    assert found == {"right: clock": Verdict.OK, "wrong: clock": Verdict.FAIL}


def test_which_clock_is_ahead_is_said(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    assert skew(NOON + MINUTE, NOON, web).seen == "this clock is 1 min ahead of the server's"
    assert skew(NOON - MINUTE, NOON, web).seen == "this clock is 1 min behind the server's"


def test_a_provider_that_cannot_look_is_skipped(tmp_path: Path) -> None:
    (only,) = source(asset(tmp_path, Source()), clock=Time())
    assert only.verdict is Verdict.SKIPPED
