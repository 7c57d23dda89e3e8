"""Sections looked at side by side, and what is made of what they find."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from threading import Barrier, Event

import pytest

from refresher.abilities import Observation, Verdict
from refresher.doctor import examination_document, examination_text
from refresher.doctor.examination import Examination, Look, Section, examined
from refresher.errors import PermanentError


def found(*looks: Look, within: float = 20.0) -> Examination:
    return examined([Section("web", f"look {number}", look) for number, look in enumerate(looks)], within=within)


def one(observation: Observation) -> Look:
    return lambda: [observation]


OK, WARN = Observation.ok("door", "open"), Observation.warn("lamp", "dim", "Change the bulb.")
FAIL, SKIPPED = Observation.fail("roof", "gone", "Build one."), Observation.skipped("cellar", "dark")


@pytest.mark.parametrize(
    ("observations", "passes", "strictly"),
    [([OK, SKIPPED], True, True), ([OK, WARN], True, False), ([WARN, FAIL], False, False)],
)
def test_a_failure_fails_and_a_warning_only_if_it_is_strict(
    observations: list[Observation], passes: bool, strictly: bool
) -> None:
    examination = found(*map(one, observations))
    assert (examination.passes(strict=False), examination.passes(strict=True)) == (passes, strictly)


def test_what_a_server_said_neither_steers_the_terminal_nor_passes_for_a_line() -> None:
    said = Observation.warn("answer", "revision \x1b[2Jx\n  ✓ all is well\u202e", "Have it \x07repaired.")
    text = examination_text(examination_document(found(one(said))))
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "\n  ✓" not in text


def test_all_are_looked_at_side_by_side() -> None:
    together = Barrier(3, timeout=10)

    def look() -> Iterator[Observation]:
        together.wait()
        yield OK

    assert found(look, look, look).counts[Verdict.OK] == 3


def test_one_that_never_ends_is_given_up_and_keeps_what_it_found() -> None:
    never = Event()

    def hang() -> Iterator[Observation]:
        yield OK
        never.wait()

    hung, well = found(hang, one(OK), within=1).sections
    never.set()
    assert [finding.observation.verdict for finding in hung.findings][:2] == [Verdict.OK, Verdict.FAIL]
    assert hung.findings[1].observation.seen == "no end within 1 s"
    assert [finding.observation for finding in well.findings] == [OK]


def test_all_that_never_end_are_waited_for_together() -> None:
    never = Event()

    def hang() -> Iterator[Observation]:
        never.wait()
        yield OK

    began = time.monotonic()
    assert found(hang, hang, hang, hang, within=0.2).counts[Verdict.FAIL] == 4
    assert time.monotonic() - began < 15
    never.set()


def test_one_that_is_given_up_takes_back_what_it_made_when_it_can() -> None:
    answered, taken_back = Event(), Event()

    def slow() -> Iterator[Observation]:
        try:
            answered.wait()
            yield OK
            yield WARN
        finally:
            taken_back.set()

    (section,) = found(slow, within=0.1).sections
    assert not taken_back.is_set()
    answered.set()
    assert taken_back.wait(10)
    assert section.ended.wait(10)
    assert WARN not in [finding.observation for finding in section.findings]


def test_what_a_plugin_raises_is_its_last_observation_and_a_bugs_text_is_not_shown() -> None:
    def refused() -> Iterator[Observation]:
        yield OK
        raise PermanentError("no such path")

    def bug() -> Iterator[Observation]:
        raise KeyError("a secret")
        yield OK

    first, second = found(refused, bug).sections
    assert [finding.observation.seen for finding in first.findings] == ["open", "no such path"]
    assert "a secret" not in str(second.findings)
    assert second.findings[0].observation.advice == "Report it with these places in the code."


def test_machines_get_every_finding_and_the_worst_verdict() -> None:
    document = examination_document(found(one(OK), one(WARN), one(SKIPPED)))
    assert (document["verdict"], document["counts"]) == ("warn", {"ok": 1, "warn": 1, "fail": 0, "skipped": 1})
    (finding,) = document["sections"][1]["findings"]
    assert finding.pop("seconds") >= 0
    assert finding == {"of": "lamp", "verdict": "warn", "seen": "dim", "advice": "Change the bulb."}


def test_people_read_a_line_a_finding_and_below_it_what_to_do() -> None:
    text = examination_text(examination_document(found(one(OK), one(FAIL))))
    assert text.splitlines() == [
        "web: look 0",
        "  ✓ door  open",
        "",
        "web: look 1",
        "  ✗ roof  gone",
        "          → Build one.",
        "",
        "1 ok, 0 to look at, 1 failed, 0 skipped",
    ]


def test_an_observation_says_when_the_server_thinks_it_is() -> None:
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    assert Observation.ok("health", "active", server_time=moment).server_time == moment
