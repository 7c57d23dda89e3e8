"""How often something may happen."""

from refresher.ratelimit import RateLimit


def test_the_rate_limit_forgets_nothing_and_gives_no_more_than_a_burst() -> None:
    now = 0.0
    limit = RateLimit(burst=2, per_second=0.5, clock=lambda: now)
    limit.spend("a")
    assert limit.wait("a") == 0
    limit.spend("a")
    assert (limit.wait("a"), limit.wait("b")) == (2, 0)
    now = 1000.0
    limit.spend("a")
    limit.spend("a")
    assert limit.wait("a") == 2
