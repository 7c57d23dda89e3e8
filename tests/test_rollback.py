"""Going back."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from refresher import cycle, rollback
from refresher.contract import Finding, Lease
from refresher.errors import PermanentError, RejectedError
from refresher.model import LayoutName, OnReject, Publish, Result, Wish
from refresher.place import opened
from tests.crash.scenes import published, seen, told
from tests.fakes.source import NOON, App, Judge, Source, Time, asset

ONE, TWO, THREE = ({"app.conf": content} for content in (b"one", b"two", b"three"))


@pytest.mark.parametrize("layout", LayoutName)
def test_an_earlier_generation_is_put_back_pinned_and_told(tmp_path: Path, layout: LayoutName) -> None:
    app = App()
    web = asset(tmp_path, Source(), app=app, publish=Publish(layout=layout))
    for files in (ONE, TWO, THREE):
        published(web, files)
    assert rollback.go_back(web, to=1, clock=Time()).outcome.result is Result.ROLLED_BACK
    assert seen(web) == ONE
    told(web)
    assert [(change.generation, change.cause) for change in app.heard[-2:]] == [(3, "published"), (1, "rolled-back")]
    held = replace(web, provider=Source(files=THREE, revision="r9"))
    assert cycle.refresh(held, wish=Wish.ANEW, clock=Time()).outcome.result is Result.UNCHANGED
    rollback.unpin(web)
    assert cycle.refresh(held, wish=Wish.ANEW, clock=Time()).outcome.generation == 4


@pytest.mark.parametrize("to", [None, 1, 3, 99, -1])
def test_what_is_not_kept_is_refused(tmp_path: Path, to: int | None) -> None:
    web = asset(tmp_path, Source())
    if to != 1:
        published(web, ONE)
    with pytest.raises(PermanentError, match=r"no earlier generation|is not kept"):
        rollback.go_back(web, to=to, clock=Time())


@pytest.mark.parametrize("expires", ["content", "lease"])
def test_what_has_expired_is_refused_and_the_visible_one_stays(tmp_path: Path, expires: str) -> None:
    lease = Lease(id="l", granted_at=NOON, duration=timedelta(hours=1), renewable=False)
    judge = Judge(finding=Finding(expires_at=NOON + timedelta(hours=1) if expires == "content" else None))
    source = Source(files=ONE, lease=lease if expires == "lease" else None)
    web = asset(tmp_path, source, judge=judge)
    cycle.refresh(web, wish=Wish.RENEW, clock=Time())
    published(web, TWO)
    later = Time(now=NOON + timedelta(hours=2))
    with pytest.raises(PermanentError, match="generation 1 of web has expired"):
        rollback.go_back(web, to=None, clock=later)
    assert seen(web) == TWO


def test_what_is_damaged_is_refused_and_stays_closed(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    published(web, ONE)
    published(web, TWO)
    cycle.tidy(web, clock=Time(now=NOON + timedelta(days=900)))
    first = web.directory / "..refresher/00000001"
    (first / "files/app.conf").write_bytes(b"evil")
    with pytest.raises(PermanentError, match="damaged"):
        rollback.go_back(web, to=1, clock=Time())
    assert (first.stat().st_mode & 0o777, seen(web)) == (0o700, TWO)
    with opened(web) as place:
        assert place.store.ledger().pinned is None


def test_the_newest_before_that_can_be_read_is_put_back(tmp_path: Path) -> None:
    web = asset(tmp_path, Source(), publish=Publish(keep=5))
    for files in (ONE, TWO, THREE):
        published(web, files)
    (web.directory / "..refresher/00000002/manifest.json").unlink()
    assert rollback.go_back(web, to=None, clock=Time()).outcome.generation == 1
    assert seen(web) == ONE


@pytest.mark.parametrize("layout", LayoutName)
def test_a_damaged_visible_generation_is_left_for_the_one_before(tmp_path: Path, layout: LayoutName) -> None:
    web = asset(tmp_path, Source(), publish=Publish(layout=layout))
    published(web, ONE)
    published(web, TWO)
    with opened(web) as place:
        place.store.quarantine(2)
    assert rollback.go_back(web, to=None, clock=Time()).outcome.generation == 1
    assert seen(web) == ONE


def test_what_the_app_refused_is_put_back_by_its_number_only(tmp_path: Path) -> None:
    app = App()
    web = asset(tmp_path, Source(), app=app, publish=Publish(keep=5), on_reject=OnReject.ROLLBACK)
    published(web, ONE)
    for files in (TWO, THREE):
        app.trouble = RejectedError("422")
        published(web, files)
        assert seen(web) == ONE
    rollback.go_back(web, to=2, clock=Time())
    assert seen(web) == TWO


def test_what_was_refused_under_other_checks_is_put_back(tmp_path: Path) -> None:
    app = App()
    web = asset(tmp_path, Source(), app=app, publish=Publish(keep=5))
    published(web, ONE)
    app.trouble = RejectedError("422")
    published(replace(web, on_reject=OnReject.ROLLBACK), TWO)
    app.trouble = None
    published(web, THREE)
    assert rollback.go_back(replace(web, checks="sha256:others"), to=None, clock=Time()).outcome.generation == 2


def test_a_notifier_that_leaves_out_the_first_generation_tells_of_a_rollback(tmp_path: Path) -> None:
    app = App()
    web = asset(tmp_path, Source(), app=app)
    web = replace(web, notifiers=(replace(web.notifiers[0], initial=False),))
    published(web, ONE)
    published(web, TWO)
    rollback.go_back(web, to=None, clock=Time())
    told(web)
    assert [change.generation for change in app.heard] == [2, 1]


def test_the_newer_generations_lease_is_forgotten(tmp_path: Path) -> None:
    lease = Lease(id="l", granted_at=NOON, duration=timedelta(hours=1), renewable=True)
    web = asset(tmp_path, Source())
    published(web, ONE)
    cycle.refresh(replace(web, provider=Source(files=TWO, revision="r2", lease=lease)), wish=Wish.RENEW, clock=Time())
    holding = rollback.go_back(web, to=None, clock=Time()).holding
    assert holding is not None
    assert (holding.ledger.lease, holding.expires_at) == (None, None)


def test_a_pin_outlives_the_apps_refusal_of_what_is_pinned(tmp_path: Path) -> None:
    app = App()
    web = asset(tmp_path, Source(), app=app, publish=Publish(keep=5), on_reject=OnReject.ROLLBACK)
    for files in (ONE, TWO, THREE):
        published(web, files)
    rollback.go_back(web, to=2, clock=Time())
    app.trouble = RejectedError("422")
    told(web)
    assert seen(web) == ONE
    with opened(web) as place:
        assert place.store.ledger().pinned == 1
