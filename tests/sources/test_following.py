"""Waiting at several sources: a change of any of them is seen at once."""

from dataclasses import dataclass, field
from datetime import timedelta
from queue import SimpleQueue

import pytest

from refresher.abilities import Follow, Following
from refresher.errors import PermanentError, TransientError
from refresher.sources import Sources
from tests.fakes.source import Source


@dataclass
class Held(Source):
    """A source that holds a wait back until it is told what to answer."""

    follows: bool = True
    answers: SimpleQueue[bool | Exception] = field(default_factory=SimpleQueue)
    begun: list[str] = field(default_factory=list)
    waits: int = 0
    closed: bool = False

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
        self.closed = True
        self.answers.put(False)


@pytest.fixture
def one() -> Held:
    return Held()


@pytest.fixture
def other() -> Held:
    return Held()


@pytest.fixture
def sources(one: Held, other: Held) -> Sources:
    plain = Source()
    return Sources({"one": one, "other": other, "plain": plain}, timeout=timedelta(seconds=60))  # type: ignore[dict-item]


def test_each_is_waited_at_from_its_own_revision_on(sources: Sources, one: Held, other: Held) -> None:
    assert isinstance(sources, Following)
    assert sources.follows
    sources.follow('{"one":"4","other":{"minted":"7"},"plain":"1"}').close()
    assert (one.begun, other.begun) == (["4"], ["7"])


def test_who_can_not_be_waited_at_is_not(one: Held) -> None:
    one.follows = False
    assert not Sources({"one": one, "plain": Source()}, timeout=timedelta(seconds=60)).follows  # type: ignore[dict-item]


def test_a_change_of_one_is_told_while_the_other_is_waited_at_still(sources: Sources, one: Held, other: Held) -> None:
    follow = sources.follow("")
    one.answers.put(True)
    assert follow.wait()
    one.answers.put(True)
    assert follow.wait()
    assert (one.waits, other.waits) == (2, 1)
    other.answers.put(True)
    assert follow.wait()
    follow.close()


def test_one_that_answers_too_soon_makes_a_pause(sources: Sources, one: Held) -> None:
    follow = sources.follow("")
    one.answers.put(False)
    assert not follow.wait()
    follow.close()


@pytest.mark.parametrize("error", [TransientError("away"), PermanentError("no right")])
def test_an_error_says_which_source(sources: Sources, other: Held, error: Exception) -> None:
    follow = sources.follow("")
    other.answers.put(error)
    with pytest.raises(type(error), match=f"^other: {error}$"):
        follow.wait()
    follow.close()


def test_closing_ends_the_wait_and_those_at_the_sources(sources: Sources, one: Held, other: Held) -> None:
    follow = sources.follow("")
    one.answers.put(True)
    follow.wait()
    follow.close()
    assert not follow.wait()
    assert (one.closed, other.closed) == (True, True)
