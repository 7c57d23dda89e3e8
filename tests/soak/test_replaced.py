"""What the proof of replaced files takes for proven."""

from collections import Counter

import pytest

from tests.soak.replaced import Tally, judged


@pytest.mark.parametrize("tries", [4, 50])
@pytest.mark.parametrize(
    ("share_midway", "share_seen", "mixed", "holds"),
    [
        (1, 1, 0, [True, True, True]),
        (1, 1, 1, [False, True, True]),
        (0.4, 1, 0, [True, False, True]),
        (0, 0, 0, [True, False, False]),
        (1, 0, 0, [True, True, False]),
    ],
)
def test_tries_that_replaced_nothing_in_the_middle_prove_nothing_however_few(
    tries: int, share_midway: float, share_seen: float, mixed: int, holds: list[bool]
) -> None:
    tally = Tally(Counter(failed=int(share_seen * tries)), midway=int(share_midway * tries), mixed=mixed)
    assert [line.holds for line in judged("HTTP", tally, tries=tries)] == holds
