import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median
from tempfile import mkdtemp

import pytest

from refresher.watch import LONGEST, Watch
from refresher.whereabouts import MOST_LOOKED_AT, MOST_WATCHED
from tests.waiting import in_time, until
from tests.written import put

LOOK = timedelta(milliseconds=100)
NEVER = timedelta(hours=1)


class Told:
    """Counts the calls."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self) -> None:
        self.times.append(time.monotonic())


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def watching(told: Told) -> Iterator[Callable[..., Watch]]:
    watches: list[Watch] = []

    def start(*directories: Path, look: timedelta = NEVER) -> Watch:
        watches.append(Watch(directories, told, look=look))
        watches[-1].start()
        return watches[-1]

    yield start
    for watch in watches:
        watch.stop()


def a_while(tmp_path: Path) -> None:
    """As long as another watch takes to tell of a change twice: whatever was to be told has been told by then."""
    other, directory = Told(), tmp_path / "another"
    directory.mkdir(exist_ok=True)
    watch = Watch([directory], other)
    watch.start()
    for count in (1, 2):
        (directory / str(count)).touch()
        until(lambda count=count: len(other.times) >= count)
    watch.stop()


def threads_of_all_watches(tmp_path: Path) -> None:
    """Begin what the watches of a process share, and what goes on when they end."""
    others = threading.active_count()
    watch = Watch([tmp_path], Told())
    watch.start()
    watch.stop()
    until(lambda: threading.active_count() <= others + 1)


def swap_data(directory: Path, name: str) -> None:
    (directory / name).mkdir()
    (directory / name / "tls.crt").write_text(name)
    (directory / f"{name}-link").symlink_to(name)
    (directory / f"{name}-link").rename(directory / "..data")


def test_a_written_file_is_told_once(watching: Callable[..., Watch], told: Told, tmp_path: Path) -> None:
    def once() -> bool:  # unless the machine rests between making it and writing it
        directory, before = Path(mkdtemp(dir=tmp_path)), len(told.times)
        watching(directory)
        (directory / "file").write_text("new")
        until(lambda: len(told.times) > before)
        a_while(tmp_path)
        return len(told.times) == before + 1

    assert in_time(once)


def test_a_data_swap_is_told_each_time(watching: Callable[..., Watch], told: Told, tmp_path: Path) -> None:
    swap_data(tmp_path, "..1")
    watching(tmp_path)
    for number in (2, 3, 4):
        count = len(told.times)
        swap_data(tmp_path, f"..{number}")
        until(lambda count=count: len(told.times) > count)


def test_a_file_changed_in_place_and_a_changed_mode_are_told(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("old")
    watching(tmp_path)
    with (tmp_path / "file").open("r+") as file:
        file.write("new")
    until(lambda: told.times)
    count = len(told.times)
    (tmp_path / "file").chmod(0o600)
    until(lambda: len(told.times) > count)


def test_of_a_file_only_what_changes_that_file_is_told(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    directory = tmp_path / "secrets"
    directory.mkdir()
    (directory / "token").write_text("old")
    watching(directory / "token")
    (directory / "log").write_text("something else")
    a_while(tmp_path)
    assert told.times == []
    (directory / "next").write_text("new")
    (directory / "next").rename(directory / "token")
    until(lambda: len(told.times) == 1)


def test_a_busy_neighbour_of_a_file_is_not_told_and_does_not_delay_its_change(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    (directory / "app.json").write_text("old")
    watching(directory / "app.json")
    ended = threading.Event()

    def log() -> None:
        with (directory / "log").open("a") as file:
            while not ended.wait(0.02):
                file.write("a line\n")
                file.flush()

    neighbour = threading.Thread(target=log)
    neighbour.start()
    try:
        a_while(tmp_path)
        assert told.times == []
        took = []
        for count in range(1, 9):
            changed = time.monotonic()
            put(directory / "app.json", f"new {count}")
            until(lambda count=count: len(told.times) == count)
            took.append(told.times[-1] - changed)
        assert median(took) < 0.4 * LONGEST.total_seconds(), "it waited for the neighbour to be quiet"
    finally:
        ended.set()
        neighbour.join()


def test_a_file_that_is_a_link_is_told_when_it_is_rewritten_where_it_is(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    for name in ("sources", "middle", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "elsewhere" / "real.json").write_text("old")
    (tmp_path / "middle" / "link").symlink_to(Path("..", "elsewhere", "real.json"))
    (tmp_path / "sources" / "app.json").symlink_to(tmp_path / "middle" / "link")
    watching(tmp_path / "sources" / "app.json")
    with (tmp_path / "elsewhere" / "real.json").open("r+") as file:
        file.write("new")
    until(lambda: len(told.times) == 1)
    (tmp_path / "elsewhere" / "other.json").write_text("another file")
    a_while(tmp_path)
    assert len(told.times) == 1
    for count, directory in enumerate(("middle", "sources"), start=2):
        (tmp_path / directory / "next").symlink_to(tmp_path / "elsewhere" / "other.json")
        (tmp_path / directory / "next").rename(tmp_path / directory / {"middle": "link"}.get(directory, "app.json"))
        until(lambda count=count: len(told.times) == count)


def test_a_link_that_leads_nowhere_is_told_when_its_file_comes(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    (tmp_path / "app.json").symlink_to(tmp_path / "elsewhere" / "real.json")
    watching(tmp_path / "app.json")
    (tmp_path / "elsewhere").mkdir()
    until(lambda: told.times)
    a_while(tmp_path)
    count = len(told.times)
    (tmp_path / "elsewhere" / "real.json").write_text("new")
    until(lambda: len(told.times) > count)


def test_what_changes_below_a_directory_is_told(watching: Callable[..., Watch], told: Told, tmp_path: Path) -> None:
    (tmp_path / "source" / "a" / "b").mkdir(parents=True)
    (tmp_path / "source" / "a" / "b" / "file").write_text("old")
    watching(tmp_path / "source")
    with (tmp_path / "source" / "a" / "b" / "file").open("r+") as file:
        file.write("new")
    until(lambda: told.times)


def test_a_directory_that_comes_below_is_watched_too(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    watching(tmp_path / "source")
    (tmp_path / "source" / "a" / "b").mkdir(parents=True)
    (tmp_path / "source" / "a" / "b" / "file").write_text("old")
    until(lambda: told.times)
    a_while(tmp_path)
    count = len(told.times)
    with (tmp_path / "source" / "a" / "b" / "file").open("r+") as file:
        file.write("new")
    until(lambda: len(told.times) > count)


def test_what_changes_below_is_not_told_to_who_does_not_want_it(told: Told, tmp_path: Path) -> None:
    (tmp_path / "shared" / "below").mkdir(parents=True)
    watch = Watch([tmp_path / "shared"], told, look=NEVER, below=False)
    watch.start()
    (tmp_path / "shared" / "below" / "file").write_text("new")
    a_while(tmp_path)
    assert told.times == []
    (tmp_path / "shared" / "file").write_text("new")
    until(lambda: told.times)
    watch.stop()


def test_directories_that_are_too_many_to_be_watched_are_looked_at_and_that_is_said(
    watching: Callable[..., Watch], told: Told, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "source"
    for number in range(MOST_WATCHED):
        (source / f"{number:04}").mkdir(parents=True)
    first, last = source / "0000", source / f"{MOST_WATCHED - 1:04}"
    with caplog.at_level(logging.WARNING):
        watching(source, look=LOOK)
    assert f"{source} has more than {MOST_WATCHED} directories" in caplog.text
    (first / "file").write_text("new")
    until(lambda: told.times)
    a_while(tmp_path)
    count = len(told.times)
    (last / "file").write_text("new")
    until(lambda: len(told.times) > count)


def test_a_tree_without_end_is_looked_at_up_to_a_bound(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    for number in range(MOST_LOOKED_AT + 10):
        (source / str(number)).mkdir(parents=True)
    watching(source)
    (source / "file").write_text("new")
    until(lambda: told.times)


def test_a_directory_that_is_linked_to_from_a_directory_is_watched_and_one_that_leads_back_ends(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    for name in ("source", "elsewhere/below", "other"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "source" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "below" / "back").symlink_to(tmp_path / "source")
    watching(tmp_path / "source")
    (tmp_path / "elsewhere" / "below" / "file").write_text("new")
    until(lambda: told.times)
    a_while(tmp_path)
    count = len(told.times)
    (tmp_path / "next").symlink_to(tmp_path / "other")
    (tmp_path / "next").rename(tmp_path / "source" / "linked")
    until(lambda: len(told.times) > count)
    a_while(tmp_path)
    count = len(told.times)
    (tmp_path / "other" / "file").write_text("new")
    until(lambda: len(told.times) > count)


def test_a_file_behind_a_data_swap_is_told_each_time(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    swap_data(tmp_path, "..1")
    (tmp_path / "tls.crt").symlink_to("..data/tls.crt")
    watching(tmp_path / "tls.crt")
    for count in (2, 3):
        swap_data(tmp_path, f"..{count}")
        until(lambda count=count: len(told.times) == count - 1)


def test_a_file_that_is_missing_is_told_when_it_comes(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    watching(tmp_path / "token", look=LOOK)
    (tmp_path / "token").write_text("new")
    until(lambda: told.times)


def test_reading_the_directory_tells_nothing(watching: Callable[..., Watch], told: Told, tmp_path: Path) -> None:
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "file").write_text("same")
    watching(directory, look=LOOK)
    for _ in range(20):
        assert (directory / "file").read_text() == "same"
        assert os.listdir(directory) == ["file"]
    a_while(tmp_path)
    assert told.times == []


def test_a_burst_is_told_once_it_is_quiet(watching: Callable[..., Watch], told: Told, tmp_path: Path) -> None:
    def once_it_is_quiet() -> bool:
        directory, before = Path(mkdtemp(dir=tmp_path)), len(told.times)
        watching(directory)
        for number in range(300):
            (directory / str(number)).write_text("x")
        last = time.monotonic()
        until(lambda: len(told.times) > before)
        a_while(tmp_path)
        return len(told.times) == before + 1 and told.times[-1] > last

    assert in_time(once_it_is_quiet)


def test_a_source_that_never_rests_is_told_every_other_second(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    def every_other_second() -> bool:
        directory, before = Path(mkdtemp(dir=tmp_path)), len(told.times)
        watching(directory)
        began = time.monotonic()

        def write() -> bool:
            (directory / "file").write_text(str(time.monotonic()))
            return len(told.times) > before

        until(write)
        took = told.times[before] - began
        a_while(tmp_path)
        return 1.5 < took < 5

    assert in_time(every_other_second)


def test_a_directory_that_comes_later_is_told_and_watched(
    watching: Callable[..., Watch], told: Told, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "not" / "yet"
    with caplog.at_level(logging.WARNING):
        watching(directory, look=LOOK)
    assert str(directory) in caplog.text
    directory.mkdir(parents=True)
    until(lambda: told.times)
    count = len(told.times)
    (directory / "file").write_text("new")
    until(lambda: len(told.times) > count)


def test_a_directory_that_comes_later_is_told_without_waiting_for_a_look(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    directory = tmp_path / "not-yet"
    watching(directory)
    directory.mkdir()
    until(lambda: told.times)
    for name in ("file", "below"):  # now it's a directory of its own
        a_while(tmp_path)
        count = len(told.times)
        (directory / name).mkdir()
        until(lambda count=count: len(told.times) > count)
    a_while(tmp_path)
    count = len(told.times)
    (directory / "below" / "file").write_text("new")
    until(lambda: len(told.times) > count)


def test_a_directory_that_is_removed_and_made_again_is_told_and_watched(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    directory = tmp_path / "source"
    for round_ in range(3):
        directory.mkdir()
        if round_ == 0:
            watching(directory, look=LOOK)
        count = len(told.times)
        (directory / "file").write_text("a")
        until(lambda count=count: len(told.times) > count)
        a_while(tmp_path)
        count = len(told.times)

        def written_and_told(count: int = count) -> bool:
            with (directory / "file").open("r+") as file:  # in place, so that only a living watch can tell of it
                file.write("b")
            return len(told.times) > count

        until(written_and_told, every=0.5)
        shutil.rmtree(directory)


def test_a_directory_replaced_by_renaming_is_watched(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    directory, other = tmp_path / "source", tmp_path / "other"
    for path in (directory, other):
        path.mkdir()
        (path / "file").write_text("old")
    watching(directory, look=LOOK)
    directory.rename(tmp_path / "away")
    other.rename(directory)
    until(lambda: told.times)
    count = len(told.times)
    with (directory / "file").open("r+") as file:  # which leaves the directory itself as it was
        file.write("new")
    until(lambda: len(told.times) > count)


def test_a_directory_that_is_a_link_is_followed_when_it_is_swapped(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("old")
    (tmp_path / "current").symlink_to("one")
    watching(tmp_path / "current", look=LOOK)
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").rename(tmp_path / "current")
    until(lambda: told.times)
    count = len(told.times)
    with (tmp_path / "two" / "file").open("r+") as file:
        file.write("new")
    until(lambda: len(told.times) > count)


def test_a_path_that_is_a_file_or_a_loop_of_links_does_no_harm_to_its_neighbour(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "source").mkdir()
    watching(tmp_path / "file", tmp_path / "loop", tmp_path / "source", tmp_path / "source")
    (tmp_path / "source" / "new").touch()
    until(lambda: told.times)


def test_a_call_that_fails_is_logged_and_the_next_change_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def fails() -> None:
        calls.append(1)
        raise ValueError("broken")

    watch = Watch([tmp_path], fails)
    watch.start()
    for name in ("one", "two"):
        count = len(calls)
        (tmp_path / name).touch()
        until(lambda count=count: len(calls) > count)
    watch.stop()
    assert "failed unexpectedly" in caplog.text


def test_stopping_ends_every_thread_at_once_and_tells_nothing_more(tmp_path: Path) -> None:
    def stops_before_it_is_told() -> bool:
        threads_of_all_watches(tmp_path)
        others, told = set(threading.enumerate()), Told()
        watch = Watch([tmp_path], told)
        watch.start()
        (tmp_path / "file").touch()
        watch.stop()
        until(lambda: set(threading.enumerate()) <= others)
        return told.times == []

    assert in_time(stops_before_it_is_told)


def test_what_goes_as_the_watch_is_stopped_is_missed_by_nobody(
    tmp_path: Path, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    def stops_before_it_is_missed() -> bool:
        caplog.clear()
        (directory := tmp_path / "watched").mkdir()
        threads_of_all_watches(tmp_path)
        others = set(threading.enumerate())
        watch = Watch([directory], told, look=NEVER)
        watch.start()
        directory.rmdir()
        watch.stop()
        until(lambda: set(threading.enumerate()) <= others)
        return f"{directory} is not there" not in caplog.text

    assert in_time(stops_before_it_is_missed)


def test_stopping_what_was_never_started_is_fine(tmp_path: Path, told: Told) -> None:
    Watch([tmp_path], told).stop()


def test_without_file_events_a_look_at_the_directory_tells_of_its_changes(tmp_path: Path) -> None:
    script = f"""
import datetime, os, resource, threading
from pathlib import Path
from refresher.watch import Watch
directory, told = Path({str(tmp_path)!r}), threading.Event()
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, limit[1]))
Watch([directory], told.set, look=datetime.timedelta(milliseconds=50)).start()
(directory / "new").mkdir()
assert told.wait(30)
resource.setrlimit(resource.RLIMIT_NOFILE, limit)
"""
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "can't be watched" in ended.stderr


def test_a_file_that_goes_and_comes_back_is_told_without_waiting_for_a_look(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    config = tmp_path / "refresher.yaml"
    config.write_text("old")
    watching(config, look=timedelta(hours=1))
    config.unlink()
    until(lambda: len(told.times) == 1)
    (tmp_path / "beside").write_text("something else")
    a_while(tmp_path)
    config.write_text("new")
    until(lambda: len(told.times) > 1)


def test_a_file_that_others_may_read_now_is_told(watching: Callable[..., Watch], told: Told, tmp_path: Path) -> None:
    config = tmp_path / "refresher.yaml"
    config.write_text("old")
    config.chmod(0o000)
    watching(config)
    config.chmod(0o644)
    until(lambda: len(told.times) == 1)


def test_a_link_that_leads_to_itself_hides_nothing_beside_it(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    watching(tmp_path)
    (tmp_path / "below/file").write_text("new")
    until(lambda: told.times)


def test_directories_that_are_exchanged_all_the_time_do_not_end_it(
    watching: Callable[..., Watch], told: Told, tmp_path: Path
) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        for file in "abcdef":
            (tmp_path / name / file).write_text(name)
    watching(*(tmp_path / "one" / file for file in "abcdef"), look=timedelta(milliseconds=1))
    for _ in range(300):
        (tmp_path / "one").rename(tmp_path / "away")
        (tmp_path / "other").rename(tmp_path / "one")
        (tmp_path / "away").rename(tmp_path / "other")
    a_while(tmp_path)
    count = len(told.times)
    put(tmp_path / "one/a", "new")
    until(lambda: len(told.times) > count)
