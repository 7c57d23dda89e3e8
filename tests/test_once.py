"""Every source asked once."""

from datetime import datetime, timedelta
from pathlib import Path

from refresher.contract import Finding
from refresher.errors import TransientError
from refresher.model import Asset, Publish, Result
from refresher.once import Once
from refresher.place import opened
from tests.fakes.source import NOON, App, Certificates, Judge, Logins, Source, Time, asset, read
from tests.waiting import until

SOON = timedelta(seconds=30)


def asked(web: Asset, clock: Time, *, notify: bool = False) -> Once:
    return Once([web], clock=clock, seed="pod-1", notify=notify)


def test_what_is_minted_is_not_asked_for_before_its_renewal_is_due(tmp_path: Path) -> None:
    clock, judge = Time(), Judge(finding=Finding(valid_from=NOON, expires_at=NOON + timedelta(hours=24)))
    source = Source(minted=True)
    web = asset(tmp_path, source, judge=judge)
    for passed, looks in ((0, 1), (1, 1), (20, 2)):
        clock.passes(hours=passed)
        asked(web, clock).visit(timeout=SOON)
        assert len(source.shown) == looks


def test_what_is_minted_is_looked_after_before_that_if_it_can_be(tmp_path: Path) -> None:
    clock, judge = Time(), Judge(finding=Finding(valid_from=NOON, expires_at=NOON + timedelta(hours=24)))
    certificates = Certificates()
    web = asset(tmp_path, certificates, judge=judge)
    for revoked, made in ((False, 1), (False, 1), (True, 2)):
        certificates.revoked = revoked
        asked(web, clock).visit(timeout=SOON)
        assert certificates.made == made


def test_retired_generations_are_pruned(tmp_path: Path) -> None:
    clock, source = Time(datetime.now(NOON.tzinfo)), Source()
    web = asset(tmp_path, source, publish=Publish(keep=1, grace=timedelta(0)))
    for number in range(5):
        source.put(f"r{number}", app_conf=b"%d" % number)
        clock.passes(seconds=1)
        asked(web, clock).visit(timeout=SOON)
    store = tmp_path / "web/..refresher"
    assert [path.name for path in store.iterdir() if path.name.isdigit()] == ["00000005"]


def test_the_lease_of_a_replaced_login_is_ended_by_a_later_visit(tmp_path: Path) -> None:
    clock = Time()
    logins = Logins(clock=clock)
    web = asset(tmp_path, logins)
    for passed in (0, 50, 5):
        clock.passes(minutes=passed)
        asked(web, clock).visit(timeout=SOON)
    assert read(web.directory) == {"login": b"login2"}
    assert logins.ended == ["login1"]


def test_a_source_in_trouble_counts_as_failed_and_leaves_the_files(tmp_path: Path) -> None:
    clock, source = Time(), Source()
    web = asset(tmp_path, source)
    assert [visit.failed for visit in asked(web, clock).visit(timeout=SOON)] == [False]
    source.trouble = TransientError("away")
    (visit,) = asked(web, clock).visit(timeout=SOON)
    assert visit.failed
    assert visit.record.is_ready(clock())
    assert read(tmp_path / "web") == {"app.conf": b"one"}


def test_an_app_that_cannot_be_told_makes_no_source_a_failure(tmp_path: Path) -> None:
    app = App(trouble=TransientError("connection refused"))
    once = asked(asset(tmp_path, Source(), app=app), Time(), notify=True)
    (visit,) = once.visit(timeout=SOON)
    assert visit.outcome is not None
    assert (visit.failed, visit.outcome.result) == (False, Result.PUBLISHED)
    assert [telling.result for telling in once.tellings] == ["failed"]


def test_a_volume_that_cannot_be_used_is_a_failure_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "web").write_text("in the way")
    web = asset(tmp_path, Source(), app=App())
    (visit,) = asked(web, Time(), notify=True).visit(timeout=SOON)
    assert visit.failed
    assert visit.outcome is not None


def test_an_asset_that_nobody_came_to_ask_for_in_time_is_late_and_a_failure(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    once = asked(web, Time())
    with opened(web) as place, place.store.locked():
        (visit,) = once.visit(timeout=timedelta(0))
        assert (visit.late, visit.failed, visit.asked, visit.outcome) == (True, True, False, None)
    until(lambda: visit.record.is_ready(NOON))


def test_what_is_made_anew_and_is_not_due_is_not_late(tmp_path: Path) -> None:
    clock, judge = Time(), Judge(finding=Finding(valid_from=NOON, expires_at=NOON + timedelta(hours=24)))
    web = asset(tmp_path, Source(minted=True), judge=judge)
    for expected in (True, False):
        (visit,) = asked(web, clock).visit(timeout=SOON)
        assert (visit.asked, visit.late, visit.failed) == (expected, False, False)
