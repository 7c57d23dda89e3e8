import pytest

from refresher.simulate.plot import columns


@pytest.mark.parametrize(
    ("bins", "expected"),
    [([1, 5, 2, 3], [5, 3]), ([1, 5, 2], [1, 5]), ([7], [7])],
)
def test_a_column_is_as_high_as_the_highest_of_its_bins(bins: list[int], expected: list[int]) -> None:
    assert columns(bins, 2) == expected
