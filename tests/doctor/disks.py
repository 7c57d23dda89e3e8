"""Volumes in trouble, mounted for one case each: `unshare -m python -m tests.doctor.disks CASE DIRECTORY`."""

import sys
from pathlib import Path

from refresher import cycle
from refresher.abilities import Verdict
from refresher.doctor.volume import volume
from refresher.model import LayoutName, Publish, Refresh, Wish
from tests.crash.disks import fill, mount, tmpfs
from tests.diagnoses import failure
from tests.fakes.source import Source, Time, asset

LARGE = {"app.conf": bytes(200_000)}


def full(path: Path) -> None:
    tmpfs(path, "size=1m")
    web = asset(path, Source(files=LARGE))
    cycle.refresh(web, wish=Wish.RENEW, clock=Time())
    fill(path, but=100_000)
    failed = failure(volume(web))
    assert failed.of == "room", failed
    assert "not even one fits" in failed.seen, failed


def nearly_full(path: Path) -> None:
    tmpfs(path, "size=1m")
    web = asset(path, Source(files=LARGE))
    cycle.refresh(web, wish=Wish.RENEW, clock=Time())
    fill(path, but=300_000)
    (room,) = [each for each in volume(web) if each.of == "room"]
    assert room.verdict is Verdict.WARN, room


def without_inodes(path: Path) -> None:
    tmpfs(path, "size=4m,nr_inodes=30")
    web = asset(path, Source())
    cycle.refresh(web, wish=Wish.RENEW, clock=Time())
    for number in range(8):
        (path / f"filler-{number}").touch()
    assert failure(volume(web)).of == "inodes"


def read_only(path: Path) -> None:
    tmpfs(path, "size=1m")
    web = asset(path, Source())
    cycle.refresh(web, wish=Wish.RENEW, clock=Time())
    mount(path, "-o", "remount,ro")
    failed = failure(volume(web))
    assert (failed.of, failed.advice) == ("rights", "Mount the volume writable."), failed


def on_two_mounts(path: Path) -> None:
    path.mkdir()
    tmpfs(path / "web", "size=1m")
    web = asset(path, Source(), publish=Publish(layout=LayoutName.FILE))
    failed = failure(volume(web))
    assert failed.of == "one mount", failed


def on_one_file_system_mounted_twice(path: Path) -> None:
    path.mkdir()
    (path / "web").mkdir()
    mount(path / "web", "--bind", str(path / "web"))
    web = asset(path, Source(), publish=Publish(layout=LayoutName.FILE))
    assert failure(volume(web)).of == "one mount"


def wish_that_stays(path: Path) -> None:
    path.mkdir()
    tmpfs(path / "asking", "size=1m")
    mount(path / "asking", "-o", "remount,ro")
    web = asset(path, Source(), refresh=Refresh(trigger=path / "asking" / "now"))
    (found,) = [each for each in volume(web) if each.of == "trigger file"]
    assert found.verdict is Verdict.WARN, found
    assert "may not remove" in found.seen, found


CASES = {
    case.__name__: case
    for case in (
        full,
        nearly_full,
        without_inodes,
        read_only,
        on_two_mounts,
        on_one_file_system_mounted_twice,
        wish_that_stays,
    )
}

if __name__ == "__main__":
    CASES[sys.argv[1]](Path(sys.argv[2]))
