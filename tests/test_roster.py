"""Keepers come and go while the others go on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest

from refresher.contract import Change, Fetched, Held, Unchanged
from refresher.endpoint import Endpoints
from refresher.errors import TransientError
from refresher.model import Asset, Budget, NamedNotifier, OnReject, Refresh, Result
from refresher.roster import Roster
from refresher.state import NoSuchAssetError
from tests.fakes.clockwork import Noted, Turned
from tests.fakes.source import App, Judge, Source, Time, asset, read


@dataclass
class Slow(Source):
    """A source that answers when it may; `closed` says how often it was let go."""

    asked: Event = field(default_factory=Event)
    let_go: Event = field(default_factory=Event)
    closed: int = 0

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        self.asked.set()
        assert self.let_go.wait(60)
        with super().fetch(held) as answer:
            yield answer

    def close(self) -> None:
        self.closed += 1


class Staff:
    """A roster on a clockwork that the test turns."""

    def __init__(self) -> None:
        self.clock, self.noted = Time(), Noted()
        self.clockwork = Turned(self.clock)
        self.around: list[list[str]] = []
        self.roster = Roster(
            endpoints=Endpoints(Budget(), clockwork=self.clockwork, clock=self.clock),
            clockwork=self.clockwork,
            clock=self.clock,
            seed="pod-1",
            reporter=self.noted,
            left=self.left,
        )

    def left(self) -> None:
        self.around.append(sorted(one.name for one in self.roster.around()))

    def keep(self, *assets: Asset) -> None:
        self.roster.change(assets)
        self.clockwork.turn(seconds=2)

    def generation(self, name: str = "web") -> int | None:
        return self.roster.keeper(name).state().generation


@pytest.fixture
def staff() -> Staff:
    return Staff()


@contextmanager
def under_way(staff: Staff, slow: Slow) -> Iterator[None]:
    """A refresh of the asset called web that runs until this ends."""
    refreshing = Thread(target=staff.clockwork.armed.pop("refresh web")[1])
    refreshing.start()
    assert slow.asked.wait(60)
    try:
        yield
    finally:
        slow.let_go.set()
        refreshing.join()


def begun(staff: Staff, *assets: Asset) -> None:
    """Keep these, and run only what looks at the volume."""
    staff.roster.change(assets)
    for one in assets:
        staff.clockwork.armed.pop(f"begin {one.name}")[1]()


def test_an_asset_that_is_the_same_keeps_its_keeper_and_one_that_differs_is_not_fetched_for_it(
    tmp_path: Path, staff: Staff
) -> None:
    source, other = Source(), Source()
    web, db = asset(tmp_path, source), asset(tmp_path, other, name="db", directory=tmp_path / "db")
    staff.keep(web, db)
    keeper, armed = staff.roster.keeper("db"), staff.clockwork.armed["refresh db"]
    staff.keep(replace(web, required=False), db)
    assert staff.roster.keeper("db") is keeper
    assert staff.clockwork.armed["refresh db"] == armed
    assert (len(source.shown), len(other.shown)) == (1, 1)
    assert not staff.roster.keeper("web").state().required


def test_a_keeper_that_has_not_begun_takes_nothing_that_it_was_handed_for_changed_by_somebody(
    tmp_path: Path, staff: Staff, caplog: pytest.LogCaptureFixture
) -> None:
    web = asset(tmp_path, Source())
    staff.keep(web)
    staff.roster.change([replace(web, required=False)])
    staff.roster.keeper("web").look_over()
    assert caplog.text == ""


def test_another_source_is_fetched_at_once_and_what_is_visible_stands_until_then(tmp_path: Path, staff: Staff) -> None:
    web, new = asset(tmp_path, Source()), Source(files={"app.conf": b"two"}, revision="r2")
    staff.keep(web)
    staff.roster.change([replace(web, provider=new, source="sha256:other")])
    state = staff.roster.keeper("web").state()
    assert (state.generation, state.ready, len(state.history)) == (1, True, 1)
    staff.clockwork.turn(seconds=0)
    assert (staff.generation(), read(tmp_path / "web")) == (2, {"app.conf": b"two"})
    assert [outcome.result for outcome in staff.roster.keeper("web").state().history] == [Result.PUBLISHED] * 2


def test_a_refresh_that_is_under_way_ends_before_the_next_keeper_begins(tmp_path: Path, staff: Staff) -> None:
    slow, new = Slow(), Source(files={"app.conf": b"two"}, revision="r2")
    web = asset(tmp_path, slow)
    begun(staff, web)
    with under_way(staff, slow):
        staff.keep(replace(web, provider=new, source="sha256:other"))
        staff.keep(replace(web, provider=new, source="sha256:third"))
        staff.roster.keeper("web").look_over()
        assert (new.shown, slow.closed, staff.around) == ([], 0, [["web", "web"]])
    staff.clockwork.turn(seconds=1)
    assert (len(new.shown), slow.closed, staff.generation()) == (1, 1, 2)
    assert read(tmp_path / "web") == {"app.conf": b"two"}
    assert staff.around[-1] == ["web"]


def test_who_takes_over_the_directory_of_another_asset_waits_for_it_and_uses_its_files(
    tmp_path: Path, staff: Staff
) -> None:
    slow, new = Slow(), Source()
    web = asset(tmp_path, slow)
    begun(staff, web)
    with under_way(staff, slow):
        staff.keep(replace(web, name="renamed", provider=new))
        assert staff.generation("renamed") is None
    staff.clockwork.turn(seconds=0)
    assert (staff.generation("renamed"), new.shown) == (1, [])


def test_an_asset_that_is_taken_out_and_comes_back_while_its_source_hangs_stands_as_it_did(
    tmp_path: Path, staff: Staff
) -> None:
    slow = Slow()
    slow.let_go.set()
    web = asset(tmp_path, slow)
    staff.keep(web)
    slow.let_go.clear()
    slow.asked.clear()
    staff.roster.keeper("web").request()
    with under_way(staff, slow):
        staff.keep()
        staff.keep(replace(web, required=False))
        state = staff.roster.keeper("web").state()
        assert (state.generation, state.ready, len(state.history)) == (1, True, 1)
    staff.clockwork.turn(seconds=0)
    assert (staff.generation(), len(slow.shown)) == (1, 2)


def test_a_source_that_hangs_holds_up_no_other_asset(tmp_path: Path, staff: Staff) -> None:
    slow, other = Slow(), Source()
    web = asset(tmp_path, slow)
    begun(staff, web)
    with under_way(staff, slow):
        staff.keep(replace(web, settle=web.settle * 2), asset(tmp_path, other, name="db", directory=tmp_path / "db"))
        assert staff.generation("db") == 1


def test_who_asked_before_a_change_is_answered_by_the_next_keeper(tmp_path: Path, staff: Staff) -> None:
    web = asset(tmp_path, Source())
    begun(staff, web)
    request = staff.roster.keeper("web").request()
    staff.roster.change([replace(web, required=False)])
    assert staff.roster.keeper("web").request() is request
    staff.clockwork.turn(seconds=0)
    assert (request.visible.result(timeout=0).result, request.told.result(timeout=0)) == (Result.PUBLISHED, True)


def test_who_asks_a_keeper_that_has_just_been_replaced_is_answered_by_the_next_one(
    tmp_path: Path, staff: Staff
) -> None:
    web = asset(tmp_path, Source())
    begun(staff, web)
    replaced = staff.roster.keeper("web")
    staff.roster.change([replace(web, required=False)])
    staff.roster.change([replace(web, required=True)])
    request = replaced.request()
    assert staff.roster.keeper("web").request() is request
    staff.clockwork.turn(seconds=0)
    assert request.visible.result(timeout=0).result is Result.PUBLISHED


def test_who_asks_a_keeper_whose_asset_has_just_been_taken_out_is_told_so(tmp_path: Path, staff: Staff) -> None:
    staff.keep(asset(tmp_path, Source()))
    gone = staff.roster.keeper("web")
    staff.keep()
    gone.look_now()
    outcome = gone.request().visible.result(timeout=0)
    assert (outcome.result, outcome.error) == (Result.FAILED, "it was taken out of the configuration")


@pytest.mark.parametrize("early", [True, False])
def test_a_look_that_was_wanted_beside_a_change_is_the_next_keepers(
    tmp_path: Path, staff: Staff, *, early: bool
) -> None:
    source = Source()
    web = asset(tmp_path, source, refresh=Refresh(every=timedelta(0)))
    staff.keep(web)
    source.put("r2", app_conf=b"two")
    keeper = staff.roster.keeper("web")
    if early:
        keeper.look_now()
    staff.roster.change([replace(web, required=False)])
    if not early:
        keeper.look_now()
    staff.clockwork.turn(seconds=0)
    assert staff.generation() == 2


def test_who_waits_for_an_asset_that_is_taken_out_is_told_so(tmp_path: Path, staff: Staff) -> None:
    web, db = asset(tmp_path, Source()), asset(tmp_path, Source(), name="db", directory=tmp_path / "db")
    begun(staff, web, db)
    request = staff.roster.keeper("web").request()
    staff.keep(db)
    outcome = request.visible.result(timeout=0)
    assert (outcome.result, outcome.error) == (Result.FAILED, "it was taken out of the configuration")
    assert not request.told.result(timeout=0)
    with pytest.raises(NoSuchAssetError):
        staff.roster.keeper("web")


def test_the_files_of_an_asset_that_is_taken_out_stay_and_nothing_of_it_is_armed(tmp_path: Path, staff: Staff) -> None:
    source = Source()
    web, db = asset(tmp_path, source), asset(tmp_path, Source(), name="db", directory=tmp_path / "db")
    staff.keep(web, db)
    staff.keep(db)
    assert read(tmp_path / "web") == {"app.conf": b"one"}
    assert [key for key in staff.clockwork.armed if "web" in key] == []
    assert staff.around == [["db"]]


def test_a_rollback_that_was_asked_for_is_done_before_the_next_keeper_begins(tmp_path: Path, staff: Staff) -> None:
    source = Source()
    web = asset(tmp_path, source)
    staff.keep(web)
    source.put("r2", app_conf=b"two")
    staff.roster.keeper("web").request()
    staff.clockwork.turn(seconds=0)
    done = staff.roster.keeper("web").go_back(to=None)
    staff.keep(replace(web, required=False))
    done.result(timeout=0)
    state = staff.roster.keeper("web").state()
    assert (state.generation, state.pinned, state.required) == (1, True, False)


def test_who_asks_for_a_rollback_before_the_next_keeper_has_begun_is_to_ask_again(tmp_path: Path, staff: Staff) -> None:
    slow = Slow()
    web = asset(tmp_path, slow)
    begun(staff, web)
    with under_way(staff, slow):
        staff.keep(replace(web, required=False))
        done = staff.roster.keeper("web").go_back(to=None)
        with pytest.raises(TransientError, match="ask again"):
            done.result(timeout=0)


def destination(app: App, key: str) -> NamedNotifier:
    return NamedNotifier(name="app", key=key, notifier=app)


def test_a_new_destination_is_told_and_one_that_was_told_is_not(tmp_path: Path, staff: Staff) -> None:
    source, one, other = Source(), App(), App()
    web = asset(tmp_path, source, notifiers=(destination(one, "app:1"),))
    staff.keep(web)
    staff.keep(replace(web, notifiers=(destination(one, "app:1"), destination(other, "app:2"))))
    assert (len(one.heard), len(other.heard), len(source.shown)) == (1, 1, 1)
    assert staff.roster.keeper("web").state().notified_generation == 1


def test_a_destination_that_is_taken_out_is_told_no_more(tmp_path: Path, staff: Staff) -> None:
    down = App(trouble=TransientError("away"))
    web = asset(tmp_path, Source(), app=down)
    staff.keep(web)
    assert "tell app:1" in staff.clockwork.armed
    staff.roster.change([replace(web, notifiers=())])
    assert "tell app:1" not in staff.clockwork.armed
    down.trouble = None
    staff.clockwork.turn(hours=1)
    assert down.heard == []


def test_who_was_replaced_while_he_waited_is_never_told_of(tmp_path: Path, staff: Staff) -> None:
    slow, down = Slow(), App(trouble=TransientError("away"))
    web = asset(tmp_path, slow, app=down)
    db = asset(tmp_path, Source(), name="db", directory=tmp_path / "db")
    begun(staff, web)
    with under_way(staff, slow):
        staff.keep(replace(web, required=False))
        staff.keep(replace(web, settle=web.settle * 2))
    staff.clockwork.turn(seconds=1)
    staff.roster.change([db])
    assert "tell app:1" not in staff.clockwork.armed


@dataclass
class Listener(App):
    """Hears a change, and has something done meanwhile."""

    meanwhile: Callable[[], None] = lambda: None

    def notify(self, change: Change) -> None:
        self.meanwhile()
        super().notify(change)


def test_a_telling_that_is_under_way_is_written_down_before_the_next_keeper_begins(
    tmp_path: Path, staff: Staff
) -> None:
    app = Listener()
    web = asset(tmp_path, Source(), app=app)
    app.meanwhile = lambda: staff.roster.change([replace(web, required=False)])
    staff.keep(web)
    assert (len(app.heard), staff.roster.keeper("web").state().notified_generation) == (1, 1)
    staff.clockwork.turn(hours=1)
    assert [telling.result for telling in staff.noted.tellings] == ["told"]


def test_a_telling_that_is_tried_again_is_over_before_the_next_keeper_begins(tmp_path: Path, staff: Staff) -> None:
    app = Listener(trouble=TransientError("away"))
    web = asset(tmp_path, Source(), app=app)
    staff.keep(web)
    app.trouble = None
    seen: list[bool] = []

    def changed() -> None:
        staff.roster.change([replace(web, required=False)])
        seen.append("begin web" in staff.clockwork.armed)

    app.meanwhile = changed
    staff.clockwork.turn(minutes=1)
    assert (seen, len(app.heard)) == ([False], 1)
    state = staff.roster.keeper("web").state()
    assert (state.notified_generation, state.required) == (1, False)


def test_a_shared_destination_goes_on_for_those_who_stay(tmp_path: Path, staff: Staff) -> None:
    app = App()
    db_source = Source()
    web = asset(tmp_path, Source(), app=app)
    db = replace(web, name="db", provider=db_source, directory=tmp_path / "db")
    staff.keep(web, db)
    assert [change.also for change in app.heard] == [("web",)]
    staff.keep(db)
    db_source.put("r2", app_conf=b"two")
    staff.roster.keeper("db").request()
    staff.clockwork.turn(seconds=0)
    assert [(change.asset, change.generation) for change in app.heard] == [("db", 1), ("db", 2)]


def test_what_a_check_refused_is_looked_at_again_once_the_check_is_another(tmp_path: Path, staff: Staff) -> None:
    judge = Judge(reason="no")
    web = asset(tmp_path, Source(), judge=judge, on_reject=OnReject.KEEP)
    staff.keep(web)
    assert staff.roster.keeper("web").state().result is Result.REJECTED
    judge.reason = None
    staff.roster.change([replace(web, checks="sha256:repaired")])
    staff.clockwork.turn(seconds=0)
    assert staff.generation() == 1
