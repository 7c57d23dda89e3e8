"""Who is woken by what, and nobody else."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from providers.file import FileOptions, FileProvider
from refresher.keeper import Keeper
from refresher.model import Asset, Refresh
from refresher.state import Trigger
from refresher.triggers import Triggers
from tests.fakes.clockwork import Turned
from tests.fakes.keeping import all_kept
from tests.fakes.source import Source, Time, asset
from tests.waiting import until
from tests.written import put


@dataclass
class Followed(Source):
    """A source that can be waited at, and waits until it is told to end."""

    follows: bool = True
    begun: list[str] = field(default_factory=list)
    ended: Event = field(default_factory=Event)

    def follow(self, revision: str) -> "Followed":
        self.begun.append(revision)
        return self

    def wait(self) -> bool:
        self.ended.wait()
        return False

    def close(self) -> None:
        self.ended.set()


@dataclass
class Local(Source):
    """A source that is a file."""

    watched: list[Path] = field(default_factory=list)


def kept(tmp_path: Path, **sources: Source) -> tuple[dict[str, Keeper], Turned]:
    """Keepers by name, each having published once."""
    made: list[Asset] = []
    for name, source in sources.items():
        (tmp_path / name).mkdir(parents=True)
        web = asset(tmp_path / name, source)
        made.append(replace(web, name=name, refresh=Refresh(trigger=web.volume / "refresh")))
    keepers, clockwork, _ = all_kept(made, Time())
    clockwork.turn(seconds=1)
    return {keeper.asset.name: keeper for keeper in keepers}, clockwork


def is_armed(clockwork: Turned, name: str) -> bool:
    """Whether a refresh is to run now."""
    return clockwork.armed[f"refresh {name}"][0] <= clockwork.clock.now


def test_a_source_that_can_be_waited_at_is_waited_at_until_it_is_followed_no_more(
    tmp_path: Path, triggers: Triggers
) -> None:
    one, other = Followed(), Followed()
    keepers, _ = kept(tmp_path, one=one, other=other)
    triggers.change(keepers.values())
    until(lambda: one.begun == other.begun == ["r1"])
    triggers.change([keepers["other"]])
    assert one.ended.is_set()
    assert not other.ended.is_set()
    triggers.change(keepers.values())
    until(lambda: one.begun == ["r1", "r1"])
    assert other.begun == ["r1"], "who is followed already goes on"


def test_without_the_option_nobody_waits(tmp_path: Path, triggers: Triggers) -> None:
    keepers, _ = kept(tmp_path, one=Followed(follows=False))
    triggers.change(keepers.values())
    assert not triggers._followers


def test_a_changed_file_wakes_who_is_made_from_it(
    tmp_path: Path, triggers: Triggers, woken: list[tuple[str, Trigger]]
) -> None:
    (tmp_path / "source").mkdir()
    keepers, clockwork = kept(tmp_path, one=Local(watched=[tmp_path / "source"]), other=Source())
    triggers.change(keepers.values())
    (tmp_path / "source" / "file").touch()
    until(lambda: woken)
    until(lambda: is_armed(clockwork, "one"))
    assert set(woken) == {("one", Trigger.FILE)}
    assert not is_armed(clockwork, "other")


def test_a_file_source_that_comes_later_wakes_its_asset_also_for_what_is_below(
    tmp_path: Path, triggers: Triggers, woken: list[tuple[str, Trigger]]
) -> None:
    source = tmp_path / "source"
    keepers, _ = kept(tmp_path, one=Local(watched=FileProvider(FileOptions(path=source)).watched))
    triggers.change(keepers.values())
    (source / "below").mkdir(parents=True)
    (source / "below" / "file").write_text("the first content")
    until(lambda: woken)
    count = len(woken)
    (source / "below" / "file").write_text("another one")
    until(lambda: len(woken) > count)


def test_what_is_written_beside_a_file_source_wakes_nobody(
    tmp_path: Path, triggers: Triggers, woken: list[tuple[str, Trigger]]
) -> None:
    for name in ("source", "another"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    watched = {
        name: Local(watched=FileProvider(FileOptions(path=tmp_path / name / "file")).watched)
        for name in ("source", "another")
    }
    keepers, _ = kept(tmp_path / "volumes", **watched)
    triggers.change(keepers.values())
    for count in (1, 2):
        (tmp_path / "source" / "log").write_text("a line")
        put(tmp_path / "another" / "file", f"content {count}")
        until(lambda count=count: len(woken) == count)
    assert {name for name, _ in woken} == {"another"}


def test_a_trigger_file_asks_for_whose_it_is_and_goes_when_they_have_ended(
    tmp_path: Path, triggers: Triggers, woken: list[tuple[str, Trigger]]
) -> None:
    keepers, clockwork = kept(tmp_path, one=Source(), other=Source())
    triggers.change(keepers.values())
    path = keepers["one"].asset.refresh.trigger
    assert path is not None
    path.touch()
    until(lambda: is_armed(clockwork, "one"))
    clockwork.turn(seconds=0)
    until(lambda: not path.exists())
    assert woken == [("one", Trigger.APP)]


def test_a_trigger_file_that_was_there_before_is_heard(
    tmp_path: Path, triggers: Triggers, woken: list[tuple[str, Trigger]]
) -> None:
    keepers, _ = kept(tmp_path, one=Source())
    path = keepers["one"].asset.refresh.trigger
    assert path is not None
    path.touch()
    triggers.change(keepers.values())
    assert woken == [("one", Trigger.APP)]


def test_a_signal_asks_for_all_that_are_followed_then(
    tmp_path: Path, triggers: Triggers, woken: list[tuple[str, Trigger]]
) -> None:
    keepers, clockwork = kept(tmp_path, one=Source(), other=Source())
    triggers.change(keepers.values())
    triggers.ask_all()
    assert sorted(woken) == [("one", Trigger.SIGNAL), ("other", Trigger.SIGNAL)]
    assert is_armed(clockwork, "one")
    assert is_armed(clockwork, "other")
    triggers.change([keepers["other"]])
    triggers.ask_all()
    assert sorted(woken)[2:] == [("other", Trigger.SIGNAL)]


def test_nobody_is_woken_after_the_end(tmp_path: Path, triggers: Triggers, woken: list[tuple[str, Trigger]]) -> None:
    keepers, _ = kept(tmp_path, one=Source())
    triggers.change(keepers.values())
    triggers.stop()
    triggers.ask_all()
    assert woken == []
