"""Waiting at several sources: at each by itself, whatever becomes of the waits at the others."""

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue

import pytest

from refresher import able
from refresher.abilities import Follow
from refresher.errors import PermanentError
from refresher.sources import Sources
from refresher.state import Trigger
from refresher.triggers import Triggers
from tests.fakes.keeping import all_kept
from tests.fakes.source import Source, Time, asset
from tests.waiting import until


@dataclass
class Held(Source):
    """A source that holds a wait back until it is told what to answer."""

    follows: bool = True
    answers: SimpleQueue[bool | Exception] = field(default_factory=SimpleQueue)
    begun: list[str] = field(default_factory=list)
    waits: int = 0

    def follow(self, revision: str) -> Follow:
        self.begun.append(revision)
        return self

    def wait(self) -> bool:
        self.waits += 1
        answer = self.answers.get(timeout=30)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.answers.put(False)


def together(**sources: Source) -> Sources:
    return Sources(sources, timeout=timedelta(seconds=60))


def test_each_is_waited_at_from_its_own_revision_on() -> None:
    one, other = Held(), Held()
    at = able.followed(together(one=one, other=other, plain=Source()))
    assert set(at) == {"one", "other"}
    for each in at.values():
        each.follow('{"one":"4","other":{"minted":"7"},"plain":"1"}').close()
    assert (one.begun, other.begun) == (["4"], ["7"])


def test_who_can_not_be_waited_at_is_not() -> None:
    assert able.followed(together(one=Held(follows=False), plain=Source())) == {}


def test_of_a_revision_that_is_none_of_ours_nothing_is_known() -> None:
    one = Held()
    able.followed(together(one=one))["one"].follow("etag").close()
    assert one.begun == [""]


def test_one_that_can_not_be_waited_at_delays_no_other(
    tmp_path: Path, triggers: Triggers, woken: list[tuple[str, Trigger]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    one, other = Held(), Held()
    keepers, clockwork, _ = all_kept(
        [replace(asset(tmp_path, Source()), provider=together(one=one, other=other))], Time()
    )
    clockwork.turn(seconds=1)
    triggers.change(keepers)
    one.answers.put(PermanentError("no right to it"))
    until(lambda: caplog.messages)
    assert caplog.messages == ["web: can't be followed, and is looked at on the interval: one: no right to it"]
    for number in range(1, 3):
        other.answers.put(True)
        until(lambda: len(woken) == number)  # noqa: B023 - called before the next round
    triggers.stop()
    assert (one.waits, woken) == (1, [("web", Trigger.SOURCE)] * 2)
