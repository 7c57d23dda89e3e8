import time
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from refresher.thinning import KINDS, SILENCE, Thinning, gist

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def written(thinning: Thinning, kind: str, moments: list[datetime]) -> list[tuple[int, int]]:
    """(which, how many were left out before it) of those that are to be written; the first is 1."""
    answers = [(number, thinning.left_out(kind, at)) for number, at in enumerate(moments, 1)]
    return [(number, left_out) for number, left_out in answers if left_out is not None]


def test_the_distance_between_equal_lines_doubles() -> None:
    assert written(Thinning(), "same", [NOW] * 20) == [(1, 0), (2, 0), (4, 1), (8, 3), (16, 7)]


def test_there_is_a_line_at_least_every_quarter_of_an_hour() -> None:
    thinning, minute = Thinning(), timedelta(minutes=1)
    moments = [NOW + number * minute for number in range(600)]
    lines = [moments[number - 1] for number, _ in written(thinning, "same", moments)]
    assert max(later - earlier for earlier, later in zip(lines, [*lines[1:], moments[-1]], strict=True)) <= SILENCE
    assert len(lines) < 50


def test_every_line_is_either_written_or_counted() -> None:
    moments = [NOW + number * timedelta(seconds=7) for number in range(1024)]
    lines = written(Thinning(), "same", moments)
    assert lines[-1][0] == 1024
    assert len(lines) + sum(left_out for _, left_out in lines) == 1024


def test_each_kind_is_counted_by_itself() -> None:
    thinning = Thinning()
    answers = [thinning.left_out(kind, NOW) for kind in ("a", "b", "a", "b", "a", "b", "c")]
    assert answers == [0, 0, 0, 0, None, None, 0]


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    thinning = Thinning()
    written(thinning, "same", [NOW] * 6)
    assert thinning.left_out("same", NOW - timedelta(hours=1)) == 2


def test_a_kind_is_remembered_without_its_text() -> None:
    thinning = Thinning()
    tracemalloc.start()
    for number in range(KINDS):
        thinning.left_out(("failed", f"{number} " + "x" * 10_000), NOW)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 500_000
    assert thinning.left_out(("failed", "7 " + "x" * 10_000), NOW) == 0
    assert thinning.left_out(("failed", "7 " + "x" * 10_000), NOW) is None


def test_kinds_without_end_are_forgotten_the_oldest_first() -> None:
    thinning = Thinning()
    for kind in ("kept", "forgotten", "kept", *map(str, range(KINDS - 1))):
        thinning.left_out(kind, NOW)
    assert thinning.left_out("kept", NOW) is None
    assert thinning.left_out("forgotten", NOW) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("answered 500, request 4f5a6c7d8e9f0a1b", "answered 500, request 9e4f5a6c7d8e9f0a", True),
        ("not before 2026-11-22T09:00:00Z", "not before 2026-11-23T10:01:07Z", True),
        ("answered 500", "answered 503", False),
        ("no such bucket", "no such key", False),
    ],
)
def test_the_gist_leaves_out_what_differs_each_time(one: str, other: str, same: bool) -> None:
    assert (gist(one) == gist(other)) is same


def test_the_gist_of_a_text_made_to_take_long_is_found_at_once() -> None:
    hostile = "a." * 200_000
    began = time.process_time()
    assert gist(hostile) == hostile
    # A pattern that looks ahead at each of its words takes an hour.
    assert time.process_time() - began < 5
