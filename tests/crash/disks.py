"""File systems in trouble, mounted for one case each: `unshare -m python -m tests.crash.disks CASE DIRECTORY`."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from refresher import cycle, rollback, telling
from refresher.contract import Fetched, Held
from refresher.errors import PermanentError
from refresher.model import Asset, LayoutName, Outcome, Publish, Result, Wish
from tests.crash.kills import leftovers
from tests.crash.scenes import seen
from tests.fakes.models import MiB, Model, Models, Stream, Unmeasured, content
from tests.fakes.source import App, Source, Time, asset

ONE, TWO = {"a": b"1" * 5000, "b": b"1"}, {"a": b"2" * 5000, "b": b"2", "c": b"2"}


def mount(directory: Path, *options: str) -> None:
    directory.mkdir(exist_ok=True)
    subprocess.run(["mount", *options, str(directory)], check=True)


def tmpfs(directory: Path, options: str) -> None:
    mount(directory, "-t", "tmpfs", "-o", options, "tmpfs")


def look(web: Asset, files: Mapping[str, bytes]) -> Outcome:
    source = Source(files=files, revision=str(sorted(files.items())))
    return cycle.refresh(replace(web, provider=source), wish=Wish.ANEW, clock=Time()).outcome


def publish(web: Asset, files: Mapping[str, bytes]) -> None:
    outcome = look(web, files)
    assert outcome.result is Result.PUBLISHED, outcome


def fill(volume: Path, *, but: int = 0) -> None:
    """Leave `but` bytes free."""
    with (volume / "filler").open("ab", buffering=0) as filler:
        while (free := os.statvfs(volume).f_bavail * os.statvfs(volume).f_frsize - but) > 0:
            filler.write(bytes(min(free, 65536)))


def expect_old_or_new(web: Asset, volume: Path) -> None:
    assert seen(web) in (ONE, TWO), seen(web)
    assert leftovers(volume) == []


def generations(web: Asset) -> int:
    return len(list((web.directory / "..refresher").glob("0*")))


@dataclass(frozen=True)
class Endless:
    """A file that doesn't say how long it is, and is longer than the disk."""

    name: str = "a"
    size: None = None
    digest: None = None
    sensitive: bool = False

    def open(self, offset: int = 0) -> io.BytesIO:
        return io.BytesIO(bytes(8_000_000 - offset))


class EndlessSource:
    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched]:
        yield Fetched(revision="r9", files=[Endless()])


def full_in_mid_write(volume: Path) -> None:
    tmpfs(volume, "size=1m")
    web = asset(volume, Source())
    publish(web, ONE)
    free = os.statvfs(volume).f_bavail
    outcome = cycle.refresh(replace(web, provider=EndlessSource()), wish=Wish.RENEW, clock=Time()).outcome
    assert outcome.error_class == "TransientError", outcome
    assert "the volume is full" in str(outcome.error), outcome
    expect_old_or_new(web, volume)
    assert seen(web) == ONE
    assert os.statvfs(volume).f_bavail >= free - 4


def no_room_for_what_is_promised(volume: Path) -> None:
    tmpfs(volume, "size=1m")
    source = Source(files={"a": bytes(2_000_000)})
    outcome = cycle.refresh(asset(volume, source), wish=Wish.RENEW, clock=Time()).outcome
    assert "no room" in str(outcome.error), outcome
    assert source.opened == []


@dataclass
class Squeezed(Model):
    """A large file; while it comes, somebody else fills the volume."""

    filled: Callable[[], None] = lambda: None

    def open(self, offset: int = 0) -> Stream:
        self.filled()
        return super().open(offset)


def transfer(volume: Path, model: Model) -> Outcome:
    the = replace(asset(volume, Source()), provider=Models([model]))
    return cycle.refresh(the, wish=Wish.RENEW, clock=Time()).outcome


def half_a_model_gives_way(volume: Path) -> None:
    tmpfs(volume, "size=16m")
    outcome = transfer(volume, Squeezed("m", bytes(12 * MiB), filled=lambda: fill(volume, but=9 * MiB)))
    assert "the volume is full" in str(outcome.error), outcome
    assert leftovers(volume) == []


def half_a_model_without_room_for_the_rest_gives_way(volume: Path) -> None:
    tmpfs(volume, "size=16m")
    half = Model("m", bytes(12 * MiB), breaks=[9 * MiB, 0, 0, 0])
    transfer(volume, half)
    fill(volume, but=MiB)
    outcome = transfer(volume, half)
    assert "no room" in str(outcome.error), outcome
    assert leftovers(volume) == []


def what_a_kill_left_on_a_full_disk_gives_way(volume: Path) -> None:
    tmpfs(volume, "size=16m")
    half = Model("m", bytes(12 * MiB), breaks=[9 * MiB, 0, 0, 0])
    transfer(volume, half)
    assert leftovers(volume) != []
    fill(volume)
    outcome = transfer(volume, half)
    assert "the volume is full" in str(outcome.error), outcome
    assert leftovers(volume) == []


def full_at_any_point(volume: Path) -> None:
    tmpfs(volume, "size=1m")
    web = asset(volume, Source())
    for pages in range(16):
        (volume / "filler").unlink(missing_ok=True)
        cycle.tidy(web, clock=Time(now=datetime.now(UTC) + timedelta(days=900)))
        assert look(web, ONE).result in {Result.PUBLISHED, Result.UNCHANGED}
        fill(volume, but=4096 * pages)
        expect_full_disk_bearable(web, volume)


def out_of_inodes_at_any_point(volume: Path) -> None:
    tmpfs(volume, "size=4m,nr_inodes=60")
    web = asset(volume, Source())
    for spare in range(16):
        for path in volume.glob("inode-*"):
            path.unlink()
        cycle.tidy(web, clock=Time(now=datetime.now(UTC) + timedelta(days=900)))
        assert look(web, ONE).result in {Result.PUBLISHED, Result.UNCHANGED}
        for number in range(os.statvfs(volume).f_favail - spare):
            (volume / f"inode-{number}").touch()
        expect_full_disk_bearable(web, volume)


def expect_full_disk_bearable(web: Asset, volume: Path) -> None:
    kept = generations(web)
    outcome = look(web, TWO)
    published = outcome.result is Result.PUBLISHED
    assert published or re.search("no room|volume is full", str(outcome.error)), outcome
    expect_old_or_new(web, volume)
    assert seen(web) == (TWO if published else ONE)
    assert generations(web) == kept + published
    assert cycle.begin(web).current is not None
    expect_old_or_new(web, volume)
    assert generations(web) == kept + published


def rollback_on_a_full_disk(volume: Path) -> None:
    for layout in LayoutName:
        root = volume / layout
        root.mkdir(parents=True)
        tmpfs(root, "size=1m")
        app = App()
        web = asset(root, Source(), app=app, publish=Publish(layout=layout))
        publish(web, {"a": b"1"})
        publish(web, {"a": b"2"})
        fill(root)
        back = rollback.go_back(web, to=None, clock=Time())
        assert back.outcome.result is Result.ROLLED_BACK
        assert seen(web) == {"a": b"1"}
        assert cycle.begin(web).ledger.pinned == 1
        told = list(telling.tell(web.notifiers[0], [web], clock=Time()))
        assert [one.telling.result for one in told] == ["told"]
        assert [change.cause for change in app.heard] == ["rolled-back"]


def told_and_no_room_to_write_it_down(volume: Path) -> None:
    """Of two assets that one app hears of, one is on a disk where not even the reserve is left."""
    full, other, app = volume / "full", volume / "other", App()
    full.mkdir(parents=True)
    other.mkdir()
    tmpfs(full, "size=1m")
    assets = [asset(full, Source(), app=app), replace(asset(other, Source(), app=app), name="other")]
    for each in assets:
        publish(each, ONE)
    (full / "web/..refresher/reserve").unlink()
    fill(full)
    told = list(telling.tell(assets[0].notifiers[0], assets, clock=Time()))
    assert [one.telling.asset for one in told] == ["other"]
    assert list(telling.tell(assets[1].notifiers[0], assets[1:], clock=Time())) == []


def read_only(volume: Path) -> None:
    tmpfs(volume, "size=1m")
    web = asset(volume, Source())
    publish(web, ONE)
    mount(volume, "-o", "remount,ro")
    outcome = look(web, TWO)
    assert outcome.error_class == "PermanentError", outcome
    assert "read-only" in str(outcome.error), outcome
    with pytest.raises(PermanentError, match="read-only"):
        cycle.begin(web)
    assert seen(web) == ONE


def file_that_is_mounted(volume: Path) -> None:
    volume.mkdir()
    web = asset(volume, Source(), publish=Publish(layout=LayoutName.FILE))
    publish(web, {"a": b"1"})
    other = volume / "other"
    other.touch()
    subprocess.run(["mount", "--bind", other, web.directory / "a"], check=True)
    for _ in range(3):
        outcome = look(web, {"a": b"2"})
        assert outcome.error_class == "PermanentError", outcome
        assert "mounted" in str(outcome.error), outcome
    assert [path.name for path in (volume / "..web").glob("0*")] == ["00000001"]
    assert leftovers(volume) == []


def directory_on_another_device(volume: Path) -> None:
    volume.mkdir()
    tmpfs(volume / "web", "size=1m")
    web = asset(volume, Source(), publish=Publish(layout=LayoutName.FILE))
    outcome = look(web, {"a": b"2"})
    assert outcome.error_class == "PermanentError", outcome
    assert "another file system" in str(outcome.error), outcome
    assert list((volume / "..web").glob("0*")) == []


def model(size: int, *, seed: int, **facts: Any) -> Model:
    """A model of so many MiB, whose revision is its seed."""
    return Model("model", content(size * MiB, seed=seed), revision=str(seed), **facts)


def bring(web: Asset, one: Model) -> Outcome:
    source = Models([one], revision=one.revision)
    return cycle.refresh(replace(web, provider=source), wish=Wish.RENEW, clock=Time(now=datetime.now(UTC))).outcome


def expect_model(web: Asset, one: Model) -> None:
    assert seen(web) == {"model": one.content}, [(name, len(found)) for name, found in seen(web).items()]
    assert leftovers(web.volume) == []


def no_room_for_a_model_beside_the_old_one(volume: Path) -> None:
    tmpfs(volume, "size=64m")
    web, old, new = asset(volume, Source()), model(40, seed=1), model(40, seed=2)
    assert bring(web, old).result is Result.PUBLISHED
    free = os.statvfs(volume).f_bavail
    outcome = bring(web, new)
    assert outcome.error_class == "TransientError", outcome
    # What readers see never gives way, so there is no advice.
    assert re.search("no room: .* free on the volume$", str(outcome.error)), outcome
    outcome = bring(replace(web, publish=Publish(make_room=True)), new)
    assert re.search("no room: .* free on the volume$", str(outcome.error)), outcome
    assert new.opened == []
    expect_model(web, old)
    assert os.statvfs(volume).f_bavail == free


def kept_models_give_way(volume: Path) -> None:
    tmpfs(volume, "size=64m")
    web, third = asset(volume, Source(), publish=Publish(grace=timedelta(0))), model(24, seed=3)
    for seed in (1, 2):
        assert bring(web, model(20, seed=seed)).result is Result.PUBLISHED
    fill(volume, but=20 * MiB)
    outcome = bring(web, third)
    assert "publish.make_room" in str(outcome.error), outcome
    assert generations(web) == 2
    outcome = bring(replace(web, publish=replace(web.publish, make_room=True)), third)
    assert outcome.result is Result.PUBLISHED, outcome
    expect_model(web, third)
    assert not (web.directory / "..refresher/00000001").exists()


def kept_models_give_way_to_what_nobody_knew_the_size_of(volume: Path) -> None:
    tmpfs(volume, "size=64m")
    web = asset(volume, Source(), publish=Publish(grace=timedelta(0), make_room=True))
    for seed in (1, 2):
        assert bring(web, model(20, seed=seed)).result is Result.PUBLISHED
    third = Unmeasured("model", content(30 * MiB, seed=3), revision="3")
    outcome = bring(web, third)
    assert "the volume is full" in str(outcome.error), outcome
    assert generations(web) == 1
    assert bring(web, third).result is Result.PUBLISHED
    expect_model(web, third)


@dataclass(kw_only=True)
class Crowded(Model):
    """A model of which 10 MiB have room, because somebody else writes, too, once it is on its way."""

    volume: Path

    def open(self, offset: int = 0) -> Stream:
        fill(self.volume, but=10 * MiB)
        return super().open(offset)


def full_in_the_middle_of_a_model(volume: Path) -> None:
    tmpfs(volume, "size=64m")
    web, old, new = asset(volume, Source()), model(16, seed=1), model(40, seed=2)
    assert bring(web, old).result is Result.PUBLISHED
    outcome = bring(web, Crowded("model", new.content, revision=new.revision, volume=volume))
    assert outcome.error_class == "TransientError", outcome
    assert "the volume is full" in str(outcome.error), outcome
    assert "no room" in str(bring(web, new).error)
    assert seen(web) == {"model": old.content}
    (volume / "filler").unlink()
    assert bring(web, new).result is Result.PUBLISHED
    expect_model(web, new)


def a_part_does_not_count_twice(volume: Path) -> None:
    tmpfs(volume, "size=64m")
    web, broken, whole = asset(volume, Source()), model(40, seed=1, breaks=[30 * MiB, 0, 0, 0]), model(40, seed=1)
    assert "connection reset" in str(bring(web, broken).error)
    assert os.statvfs(volume).f_bavail * os.statvfs(volume).f_frsize < len(whole.content)
    assert bring(web, whole).result is Result.PUBLISHED
    expect_model(web, whole)
    assert whole.moved <= 12 * MiB, whole.moved


CASES = {
    case.__name__: case
    for case in (
        full_in_mid_write,
        no_room_for_what_is_promised,
        half_a_model_gives_way,
        half_a_model_without_room_for_the_rest_gives_way,
        what_a_kill_left_on_a_full_disk_gives_way,
        full_at_any_point,
        out_of_inodes_at_any_point,
        rollback_on_a_full_disk,
        told_and_no_room_to_write_it_down,
        read_only,
        file_that_is_mounted,
        directory_on_another_device,
        no_room_for_a_model_beside_the_old_one,
        kept_models_give_way,
        kept_models_give_way_to_what_nobody_knew_the_size_of,
        full_in_the_middle_of_a_model,
        a_part_does_not_count_twice,
    )
}

if __name__ == "__main__":
    CASES[sys.argv[1]](Path(sys.argv[2]))
