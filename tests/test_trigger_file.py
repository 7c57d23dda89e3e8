"""A file by which an app asks for a refresh."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import FrameType

import pytest

from refresher.model import Outcome, Result
from refresher.ratelimit import BURST, PER_SECOND, RateLimit
from refresher.trigger_file import TriggerFile
from tests.fakes.sidecar import outcome
from tests.waiting import until


class Asked:
    """Whom it asks: refreshes that end when the test says so."""

    def __init__(self, assets: int = 1) -> None:
        self.refreshes: list[list[Future[Outcome]]] = []
        self._assets = assets

    def __call__(self) -> list[Future[Outcome]]:
        self.refreshes.append([Future() for _ in range(self._assets)])
        return self.refreshes[-1]

    def end(self, number: int = -1) -> None:
        for future in self.refreshes[number]:
            future.set_result(outcome("web", Result.UNCHANGED))


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "shared").mkdir()
    return tmp_path / "shared" / "refresh"


class Clock:
    """It goes on only when the test says so: this machine's would give another turn to a test that takes its time."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(path: Path, asked: Asked, clock: Clock) -> Iterator[TriggerFile]:
    limit = RateLimit(burst=BURST, per_second=PER_SECOND, clock=clock)
    made = TriggerFile(path, asked, root=path.parent, limit=limit)
    yield made
    made.stop()


def again(path: Path) -> None:
    """Touched: its modification time is another one, however coarse the file system's clock is."""
    now = path.stat().st_mtime_ns
    os.utime(path, ns=(now, now + 1_000_000))


def test_nothing_there_asks_for_nothing(file: TriggerFile, asked: Asked) -> None:
    file.look()
    assert asked.refreshes == []


def test_the_file_is_gone_once_the_refresh_has_ended(file: TriggerFile, asked: Asked, path: Path) -> None:
    path.touch()
    file.look()
    file.look()
    assert len(asked.refreshes) == 1
    assert path.exists(), "whoever waits for it would read what isn't new yet"
    asked.end()
    assert os.listdir(path.parent) == []


def test_it_stays_until_the_last_of_several_assets_has_ended(path: Path) -> None:
    asked = Asked(assets=3)
    path.touch()
    TriggerFile(path, asked, root=path.parent).look()
    first, second, third = asked.refreshes[0]
    first.set_result(outcome("a"))
    third.set_exception(RuntimeError("a bug"))
    assert path.exists()
    second.set_result(outcome("b"))
    assert not path.exists()


def test_a_touch_during_the_refresh_is_another_wish(file: TriggerFile, asked: Asked, path: Path) -> None:
    path.touch()
    file.look()
    again(path)
    asked.end()
    assert path.exists()
    file.look()
    assert len(asked.refreshes) == 2
    asked.end()
    assert not path.exists()


def test_a_file_that_was_made_anew_meanwhile_stays(file: TriggerFile, asked: Asked, path: Path) -> None:
    path.touch()
    file.look()
    path.rename(path.with_name("old"))
    path.touch()
    asked.end()
    assert path.exists()


def test_a_touch_in_the_very_moment_of_the_removal_is_not_lost(file: TriggerFile, asked: Asked, path: Path) -> None:
    touched = []

    def touch_before_it_is_renamed(frame: FrameType, event: str, _: object) -> None:
        if (event, frame.f_code.co_name, touched) == ("call", "rename", []):
            touched.append(path)
            again(path)

    path.touch()
    file.look()
    sys.setprofile(touch_before_it_is_renamed)
    asked.end()
    sys.setprofile(None)
    assert touched == [path]
    file.look()
    assert len(asked.refreshes) == 2
    asked.end()
    assert os.listdir(path.parent) == []


def test_a_wish_outlives_a_restart(asked: Asked, file: TriggerFile, path: Path) -> None:
    path.touch()
    file.look()
    file.stop()
    asked.end()
    assert path.exists()
    TriggerFile(path, asked, root=path.parent).look()
    assert len(asked.refreshes) == 2


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/etc/passwd"), lambda path: path.symlink_to("..")]
)
def test_what_somebody_put_in_its_place_is_removed_and_neither_opened_nor_followed(
    make, file: TriggerFile, asked: Asked, path: Path
) -> None:
    make(path)
    file.look()
    asked.end()
    assert os.listdir(path.parent) == []
    assert Path("/etc/passwd").exists()


def test_a_directory_in_its_place_asks_for_nothing_and_stays(
    file: TriggerFile, asked: Asked, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (path / "precious").mkdir(parents=True)
    file.look()
    file.look()
    assert asked.refreshes == []
    assert caplog.messages == [f"the trigger file {path} is a directory, and asks for nothing"]


def test_a_link_on_the_way_leads_nowhere(tmp_path: Path, path: Path, asked: Asked) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "refresh").touch()
    (path.parent / "below").symlink_to(elsewhere)
    TriggerFile(path.parent / "below" / "refresh", asked, root=path.parent).look()
    assert asked.refreshes == []
    assert (elsewhere / "refresh").exists()


def test_what_cannot_be_removed_asks_once_and_again_when_it_is_touched(
    file: TriggerFile, asked: Asked, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A directory where the file has to go on its way out: even root can't rename over it.
    (path.parent / "..refresh.heard" / "x").mkdir(parents=True)
    path.touch()
    file.look()
    asked.end()
    file.look()
    assert len(asked.refreshes) == 1
    assert "can't be removed" in caplog.text
    again(path)
    file.look()
    assert len(asked.refreshes) == 2
    asked.end()
    assert len(caplog.messages) == 1


def test_who_asks_too_often_waits_and_is_heard_all_the_same(
    file: TriggerFile, asked: Asked, path: Path, clock: Clock
) -> None:
    path.touch()
    for _ in range(BURST + 5):
        file.look()
        again(path)
    assert len(asked.refreshes) == BURST
    clock.seconds += 1
    until(lambda: len(asked.refreshes) == BURST + 1)


def test_who_waits_for_his_turn_when_it_stops_is_not_heard(
    file: TriggerFile, asked: Asked, path: Path, clock: Clock
) -> None:
    path.touch()
    for _ in range(BURST + 1):
        file.look()
        again(path)
    file.stop()
    clock.seconds += 1
    file.look()
    for timer in threading.enumerate():
        if isinstance(timer, threading.Timer) and timer.function == file.look:
            timer.join()
    assert len(asked.refreshes) == BURST
