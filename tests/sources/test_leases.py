"""Leases of several sources: one for the asset, replaced together, and each ended once nobody needs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from refresher import cycle, rollback, telling
from refresher.contract import Fetched, Held, Lease, Unchanged
from refresher.errors import PermanentError, RejectedError, TransientError
from refresher.ledger import Ledger
from refresher.model import Asset, Publish, Result, Wish
from refresher.place import opened
from refresher.sources import Sources
from refresher.sources.leases import apart, joined
from tests.fakes.source import NOON, App, Judge, Source, Time, asset, read
from tests.sources.test_together import Entered

HOUR = timedelta(hours=1)


@dataclass
class Database(Source):
    """Makes a login with a lease at each fetch, and renews that as long as it `renews`."""

    name: str = "db"
    minted: bool = True
    lasts: timedelta = HOUR
    renews: bool = True
    clock: Time = field(default_factory=Time)
    made: int = 0
    ended: list[str] = field(default_factory=list)
    unwilling: Exception | None = None

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        if held and held.lease and self.renews and held.lease.renewable:
            self.shown.append(held)
            yield Unchanged(lease=replace(self._granted(), id=held.lease.id))
            return
        self.made += 1
        self.put(f"{self.name}{self.made}", login=f"{self.name} {self.made}".encode())
        self.lease = self._granted()
        with super().fetch(held) as answer:
            yield answer

    def _granted(self) -> Lease:
        return Lease(id=f"{self.name}{self.made}", granted_at=self.clock(), duration=self.lasts, renewable=True)

    def revoke(self, lease: Lease) -> None:
        if self.unwilling:
            raise self.unwilling
        self.ended.append(lease.id)


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def one(clock: Time) -> Database:
    return Database(name="one", clock=clock)


@pytest.fixture
def other(clock: Time) -> Database:
    return Database(name="other", clock=clock, lasts=10 * HOUR)


@pytest.fixture
def flags() -> Source:
    return Source({"flags.json": b"{}"}, revision='"e1"')


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def web(tmp_path: Path, one: Database, other: Database, flags: Source, app: App) -> Asset:
    sources = Sources({"one": one, "other": other, "flags": flags}, timeout=timedelta(seconds=60))
    return asset(tmp_path, sources, app=app, publish=Publish(keep=5))  # type: ignore[arg-type]


def judged(tmp_path: Path, judge: Judge, **sources: Source) -> Asset:
    return asset(tmp_path, Sources(sources, timeout=timedelta(seconds=60)), judge=judge)  # type: ignore[arg-type]


def refreshed(web: Asset, clock: Time, wish: Wish = Wish.RENEW) -> Result:
    return cycle.refresh(web, wish=wish, clock=clock).outcome.result


def told(web: Asset, clock: Time) -> None:
    """The app hears, and the grace goes by."""
    list(telling.tell(web.notifiers[0], [web], clock=clock))
    clock.passes(minutes=5)
    cycle.release(web, clock=clock)


def ledger(web: Asset) -> Ledger:
    with opened(web) as place:
        return place.holding().ledger


def logins(web: Asset) -> list[bytes]:
    return [content for name, content in read(web.directory).items() if name.endswith("login")]


def changed(flags: Source) -> None:
    flags.put(f'"e{len(flags.shown) + 5}"', flags_json=b"{%d}" % len(flags.shown))


def test_the_lease_ends_with_the_first_of_its_parts(web: Asset, clock: Time) -> None:
    refreshed(web, clock)
    lease = ledger(web).lease
    assert lease is not None
    assert (lease.expires_at, lease.over_at, lease.renewable) == (NOON + HOUR, NOON + 10 * HOUR, True)


def test_renewed_leases_stay_the_same_one(web: Asset, one: Database, other: Database, clock: Time) -> None:
    refreshed(web, clock)
    before = ledger(web).lease
    clock.passes(minutes=40)
    assert refreshed(web, clock) is Result.UNCHANGED
    after = ledger(web).lease
    assert before is not None
    assert after == replace(before, granted_at=clock())
    assert (one.made, other.made) == (1, 1)


def test_another_source_can_change_between_renewals_and_the_lease_lives_on(
    web: Asset, one: Database, other: Database, flags: Source, clock: Time
) -> None:
    refreshed(web, clock)
    before = ledger(web).lease
    changed(flags)
    assert refreshed(web, clock, Wish.LOOK) is Result.PUBLISHED
    told(web, clock)
    assert (ledger(web).lease, ledger(web).retired) == (before, ())
    assert (one.ended, other.ended, logins(web)) == ([], [], [b"one 1", b"other 1"])


def test_where_one_lease_is_replaced_all_are_and_the_old_ones_are_ended(
    web: Asset, one: Database, other: Database, clock: Time
) -> None:
    refreshed(web, clock)
    one.renews = False
    assert refreshed(web, clock) is Result.PUBLISHED
    assert logins(web) == [b"one 2", b"other 2"]
    assert (one.ended, other.ended) == ([], [])
    told(web, clock)
    assert (one.ended, other.ended) == (["one1"], ["other1"])


def test_no_generation_is_kept_whose_lease_has_ended(web: Asset, one: Database, flags: Source, clock: Time) -> None:
    for _ in range(3):
        refreshed(web, clock, Wish.LOOK)
        changed(flags)
    one.renews = False
    refreshed(web, clock)
    told(web, clock)
    with opened(web) as place:
        assert place.store.numbers() == [4]


def test_a_rollback_to_a_generation_with_the_same_lease_keeps_it(
    web: Asset, one: Database, flags: Source, clock: Time
) -> None:
    refreshed(web, clock)
    changed(flags)
    refreshed(web, clock, Wish.LOOK)
    before = ledger(web).lease
    rollback.go_back(web, to=1, clock=clock)
    told(web, clock)
    assert (ledger(web).lease, ledger(web).retired, one.ended) == (before, (), [])


def test_a_rollback_behind_a_replaced_lease_has_the_newer_one_ended(
    web: Asset, one: Database, other: Database, flags: Source, clock: Time
) -> None:
    refreshed(web, clock)
    first = ledger(web).lease
    changed(flags)
    refreshed(web, clock, Wish.LOOK)  # 2, with the same lease
    one.renews = False
    refreshed(web, clock)  # 3, with new ones
    rollback.go_back(web, to=1, clock=clock)
    assert ledger(web).lease == first
    told(web, clock)
    assert (one.ended, other.ended) == (["one2"], ["other2"])


def test_a_renewed_lease_can_be_gone_back_to_beyond_its_first_end(web: Asset, flags: Source, clock: Time) -> None:
    refreshed(web, clock)
    changed(flags)
    refreshed(web, clock, Wish.LOOK)
    clock.passes(minutes=40)
    refreshed(web, clock)
    clock.passes(minutes=40)
    assert rollback.go_back(web, to=1, clock=clock).outcome.generation == 1


def test_a_login_beside_a_source_that_is_down_is_given_back_at_once(
    web: Asset, one: Database, other: Database, flags: Source, clock: Time
) -> None:
    flags.trouble = TransientError("down")
    assert refreshed(web, clock) is Result.FAILED
    assert (one.ended, other.ended) == (["one1"], ["other1"])


def test_a_login_that_can_not_be_given_back_runs_out_by_itself(
    web: Asset, one: Database, flags: Source, clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    one.unwilling, flags.trouble = PermanentError("no right"), TransientError("down")
    outcome = cycle.refresh(web, wish=Wish.LOOK, clock=clock).outcome
    assert outcome.error == "flags: down"
    assert "a lease was not ended: one: no right" in caplog.text


def test_logins_that_a_check_refuses_are_all_ended(tmp_path: Path, one: Database, other: Database, clock: Time) -> None:
    sources = Sources({"one": one, "other": other}, timeout=timedelta(seconds=60))
    web = asset(tmp_path, sources, judge=Judge(reason="no"))  # type: ignore[arg-type]
    assert refreshed(web, clock) is Result.REJECTED
    cycle.release(web, clock=clock)
    assert (one.ended, other.ended) == (["one1"], ["other1"])


def test_a_lease_that_can_not_be_ended_now_keeps_no_other_alive(
    web: Asset, one: Database, other: Database, clock: Time
) -> None:
    refreshed(web, clock)
    one.renews, one.unwilling = False, TransientError("sealed")
    refreshed(web, clock)
    told(web, clock)
    assert (one.ended, other.ended) == ([], ["other1"])
    one.unwilling = None
    cycle.release(web, clock=clock)
    assert one.ended == ["one1"]


def test_a_part_that_outlives_the_first_is_ended_all_the_same(
    web: Asset, one: Database, other: Database, clock: Time
) -> None:
    refreshed(web, clock)
    one.renews = False
    refreshed(web, clock)
    clock.passes(hours=2)
    told(web, clock)
    assert other.ended == ["other1"]


def test_a_lease_that_none_of_the_sources_gave_is_not_ended_by_any(web: Asset, one: Database) -> None:
    for name in ("", "[]", '{"one": 5}', '{"stranger": "x"}', "[" * 100_000):
        web.provider.revoke(lease(name, NOON))  # type: ignore[attr-defined]
    assert one.ended == []


def lease(name: str, granted_at: datetime, *, renewable: bool = True) -> Lease:
    return Lease(id=name, granted_at=granted_at, duration=HOUR, renewable=renewable)


def test_of_leases_where_one_can_not_be_renewed_none_can() -> None:
    found = joined({"b": lease("2", NOON + HOUR), "a": lease("1", NOON, renewable=False)})
    assert found is not None
    assert (found.id, found.renewable) == ('{"a":"1","b":"2"}', False)
    assert {name: each.id for name, each in apart(found).items()} == {"a": "1", "b": "2"}
    assert joined({}) is None


def test_a_refused_generation_with_the_same_lease_ends_nothing(
    tmp_path: Path, one: Database, flags: Source, clock: Time
) -> None:
    judge = Judge()
    web = judged(tmp_path, judge, one=one, flags=flags)
    refreshed(web, clock)
    changed(flags)
    judge.trouble = RejectedError("no")
    assert refreshed(web, clock, Wish.LOOK) is Result.REJECTED
    cycle.release(web, clock=clock)
    assert (one.ended, ledger(web).retired) == ([], ())


def test_a_lease_is_renewed_while_another_source_is_down(
    web: Asset, one: Database, other: Database, flags: Source, clock: Time
) -> None:
    refreshed(web, clock)
    flags.trouble = TransientError("down")
    for _ in range(3):
        clock.passes(minutes=40)
        assert refreshed(web, clock) is Result.FAILED
        lease = ledger(web).lease
        assert lease is not None
        assert lease.expires_at == clock() + HOUR
    assert (one.made, other.made) == (1, 1)
    outcome = ledger(web).outcome
    assert outcome is not None
    assert outcome.error == "flags: down"


def test_a_lease_is_renewed_while_another_source_never_answers(tmp_path: Path, one: Database, clock: Time) -> None:
    slow = Entered()
    slow.answers.set()
    sources = Sources({"one": one, "slow": slow}, timeout=timedelta(seconds=3))
    web = asset(tmp_path, sources)  # type: ignore[arg-type]
    assert refreshed(web, clock) is Result.PUBLISHED
    slow.answers.clear()
    clock.passes(minutes=40)
    assert refreshed(web, clock) is Result.FAILED
    slow.answers.set()
    assert len(one.shown) == 2


def test_a_lease_is_renewed_while_another_one_can_not_be(
    web: Asset, one: Database, other: Database, clock: Time
) -> None:
    refreshed(web, clock)
    clock.passes(minutes=40)
    one.trouble, one.renews = TransientError("sealed"), False
    assert refreshed(web, clock) is Result.FAILED
    assert len(other.shown) == 2
    assert other.made == 1


def test_a_login_that_comes_instead_of_a_renewal_while_another_source_is_down_is_made_only_once(
    web: Asset, one: Database, other: Database, flags: Source, clock: Time
) -> None:
    refreshed(web, clock)
    flags.trouble, one.renews = TransientError("down"), False
    for _ in range(3):
        assert refreshed(web, clock) is Result.FAILED
    assert (one.made, one.ended) == (2, ["one2"])
    assert (other.made, logins(web)) == (1, [b"one 1", b"other 1"])
    flags.trouble = None
    assert refreshed(web, clock) is Result.PUBLISHED
    assert logins(web) == [b"one 3", b"other 2"]


def test_a_lease_is_not_renewed_at_a_look_that_fails(web: Asset, one: Database, flags: Source, clock: Time) -> None:
    refreshed(web, clock)
    flags.trouble = TransientError("down")
    refreshed(web, clock, Wish.LOOK)
    assert len(one.shown) == 1


def test_a_lease_is_renewed_while_a_check_refuses_what_is_beside_it(
    tmp_path: Path, one: Database, flags: Source, clock: Time
) -> None:
    judge = Judge()
    web = judged(tmp_path, judge, one=one, flags=flags)
    refreshed(web, clock)
    changed(flags)
    judge.reason = "no"
    for _ in range(3):
        clock.passes(minutes=40)
        assert refreshed(web, clock) is Result.REJECTED
    lease = ledger(web).lease
    assert lease is not None
    assert lease.expires_at == clock() + HOUR
    assert one.made == 1
