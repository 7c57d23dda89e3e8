"""What a keeper may have the clockwork do, and from when until when."""

from collections.abc import Callable
from threading import Event, Thread

import pytest

from refresher.term import Term
from tests.fakes.clockwork import Turned
from tests.fakes.source import NOON, Time


@pytest.fixture
def clockwork() -> Turned:
    return Turned(Time())


def test_what_is_armed_before_the_term_begins_runs_once_it_has(clockwork: Turned) -> None:
    done: list[str] = []
    term = Term(clockwork)
    term.at("look", NOON, lambda: done.append("look"))
    term.act(lambda: done.append("too soon"))
    clockwork.turn(seconds=1)
    assert done == []
    term.begin()
    clockwork.turn(seconds=1)
    assert done == ["look"]


def test_nothing_begins_after_the_end_and_the_keys_are_free_for_another(clockwork: Turned) -> None:
    done: list[str] = []
    term, following = Term(clockwork), Term(clockwork)
    term.begin()
    term.at("look", NOON, lambda: done.append("old"))
    armed = clockwork.armed["look"][1]
    assert term.end().done()
    assert clockwork.armed == {}
    following.begin()
    following.at("look", NOON, lambda: done.append("new"))
    term.at("look", NOON, lambda: done.append("old"))
    armed()  # it waited for a free thread when the end came
    clockwork.turn(seconds=1)
    assert done == ["new"]
    assert not term.surely("by hand", NOON, lambda: done.append("old"))


def test_the_end_waits_for_what_runs(clockwork: Turned) -> None:
    running, let_go = Event(), Event()
    term = Term(clockwork)
    term.begin()

    def slow() -> None:
        running.set()
        assert let_go.wait(60)

    thread = Thread(target=term.act, args=(slow,))
    thread.start()
    assert running.wait(60)
    end = term.end()
    assert not end.done()
    let_go.set()
    thread.join()
    assert end.done()


@pytest.mark.parametrize("fails", [False, True])
def test_the_end_waits_for_what_somebody_was_promised(clockwork: Turned, fails: bool) -> None:
    term, done = Term(clockwork), []
    term.begin()

    def promised() -> None:
        done.append("done")
        if fails:
            raise ValueError

    assert term.surely("by hand", NOON, promised)
    end = term.end()
    assert not end.done()
    turn(clockwork, fails=fails)
    assert (done, end.done()) == (["done"], True)


def turn(clockwork: Turned, *, fails: bool) -> None:
    action: Callable[[], None] = clockwork.armed.pop("by hand")[1]
    if fails:
        with pytest.raises(ValueError):
            action()
    else:
        action()
