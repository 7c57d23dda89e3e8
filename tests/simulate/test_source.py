from datetime import UTC, datetime, timedelta

from refresher.simulate.source import Behaviour, Source

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
AWAY = (BEGAN + 100 * SECOND, BEGAN + 200 * SECOND)


def source(**behaviour: object) -> Source:
    return Source(Behaviour(**behaviour), began=BEGAN, outage=AWAY, changes=[BEGAN + 50 * SECOND])  # type: ignore[arg-type]


def test_an_answer_has_the_version_of_its_moment() -> None:
    one = source(latency=timedelta(0))
    answers = [one.ask(BEGAN + at * SECOND, f"pod-{at}") for at in (49, 50, 200)]
    assert [answer.version for answer in answers] == [0, 1, 1]
    assert list(one.asked) == [49, 50, 200]
    assert one.askers == ["pod-49", "pod-50", "pod-200"]
    assert not one.failed


def test_in_an_outage_every_request_fails_after_its_patience() -> None:
    one = source(patience=10 * SECOND)
    answer = one.ask(AWAY[0], "pod")
    assert (answer.version, answer.at) == (None, AWAY[0] + 10 * SECOND)
    assert list(one.failed) == list(one.asked) == [100]


def test_what_is_beyond_its_capacity_fails_and_the_next_second_is_served_again() -> None:
    one = source(capacity=3)
    first = [one.ask(BEGAN, "pod").version for _ in range(5)]
    second = [one.ask(BEGAN + SECOND, "pod").version for _ in range(5)]
    assert first == second == [0, 0, 0, None, None]
