from datetime import timedelta

import pytest

from refresher.simulate.courses import Phase
from refresher.simulate.findings import Load, chance, counted

SECOND = timedelta(seconds=1)


def load(mean: float) -> Load:
    phase = Phase("steady", timedelta(0), timedelta(hours=1))
    return Load(phase=phase, requests=0, failed=0, mean=mean, p99=0, peak=0, peak_bin=0)


def test_moments_are_counted_from_the_beginning_of_their_phase_and_none_is_lost() -> None:
    moments = [0.0, 4.9, 5.0, 14.99, 15.0, 24.9, 25.0, 99.0]
    assert counted(moments, 5 * SECOND, 25 * SECOND, 10) == [2, 2]
    assert counted(moments, 5 * SECOND, 26 * SECOND, 10) == [2, 2, 1]


@pytest.mark.parametrize(("mean", "expected"), [(33.33, 1.15), (3.333, 1.48), (0.1, 5)])
def test_chance_is_what_the_tables_of_poissons_distribution_say(mean: float, expected: float) -> None:
    assert chance(load(mean)) == pytest.approx(expected, rel=0.05)


def test_there_is_no_chance_where_nobody_asks() -> None:
    assert chance(load(0)) == float("inf")
