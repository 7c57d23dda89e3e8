"""What a start makes of what it finds."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from refresher import cycle, rollback
from refresher.contract import Fetched, Held, Unchanged
from refresher.ledger import Holding
from refresher.model import Asset, LayoutName, Publish, Result, Wish
from refresher.place import opened
from refresher.recovery import is_whole
from tests.crash.kills import leftovers
from tests.crash.scenes import published, seen, spoiled
from tests.fakes.source import Source, Time, asset

ONE, TWO, THREE = ({"app.conf": content} for content in (b"one", b"two", b"three"))


def now() -> datetime:
    return datetime.now(UTC)


def later(**amount: float) -> Callable[[], datetime]:
    moment = now() + timedelta(**amount)
    return lambda: moment


def kept(web: Asset) -> list[str]:
    with opened(web) as place:
        return [str(number) for number in place.store.numbers()]


def mode(web: Asset, number: int) -> int:
    return (web.directory / f"..refresher/{number:08d}").stat().st_mode & 0o777


@pytest.mark.parametrize("layout", LayoutName)
def test_leftovers_are_swept_and_what_was_never_visible_is_pruned(tmp_path: Path, layout: LayoutName) -> None:
    web = asset(tmp_path, Source(), publish=Publish(layout=layout))
    published(web, ONE)
    memory = (tmp_path / ("..web" if (tmp_path / "..web").exists() else "web/..refresher") / "ledger.json").read_bytes()
    spoiled(web)
    with opened(web) as place:
        (place.store.directory.path / "ledger.json").write_bytes(memory)
    holding = cycle.begin(web)
    assert holding.current is not None
    assert (holding.current.number, kept(web), leftovers(tmp_path), seen(web)) == (1, ["1"], [], ONE)


@pytest.mark.parametrize("removed", ["app.conf", "..data"])
def test_links_that_somebody_removed_are_made_again(tmp_path: Path, removed: str) -> None:
    web = asset(tmp_path, Source())
    published(web, ONE)
    (web.directory / removed).unlink()
    holding = cycle.begin(web)
    assert holding.current is not None
    assert seen(web) == ONE


def test_a_link_to_somewhere_else_leads_to_the_generation_again(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    published(web, ONE)
    (web.directory / "app.conf").unlink()
    (web.directory / "app.conf").symlink_to("/etc/hostname")
    cycle.begin(web)
    assert seen(web) == ONE


@pytest.mark.parametrize("layout", LayoutName)
@pytest.mark.parametrize("damage", ["changed", "removed", "shorter"])
def test_a_damaged_generation_is_not_held_and_is_fetched_again(tmp_path: Path, layout: LayoutName, damage: str) -> None:
    web = asset(tmp_path, Source(files=ONE), publish=Publish(layout=layout))
    cycle.refresh(web, wish=Wish.RENEW, clock=Time())
    with opened(web) as place:
        with place.layout.files(1) as files:
            file = files.path / "app.conf"
        file.unlink() if damage == "removed" else file.write_bytes(b"evil" if damage == "changed" else b"o")
    assert cycle.begin(web).current is None
    outcome = cycle.refresh(web, wish=Wish.RENEW, clock=Time()).outcome
    assert (outcome.result, outcome.generation) == (Result.PUBLISHED, 2)
    assert seen(web) == ONE


@pytest.mark.parametrize("layout", LayoutName)
def test_memory_that_is_lost_is_rebuilt_and_numbers_only_rise(tmp_path: Path, layout: LayoutName) -> None:
    web = asset(tmp_path, Source(), publish=Publish(layout=layout))
    published(web, ONE)
    published(web, TWO)
    with opened(web) as place:
        (place.store.directory.path / "ledger.json").unlink()
    holding = cycle.begin(web)
    assert holding.current is not None
    assert (holding.current.number, holding.ledger.last_generation, holding.ledger.told) == (2, 2, {})
    published(web, THREE)
    assert kept(web) == ["1", "2", "3"]


def test_a_visible_generation_stays_though_nothing_else_is_known_of_it(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    published(web, ONE)
    memory = (web.directory / "..refresher/ledger.json").read_bytes()
    published(web, TWO)
    (web.directory / "..refresher/ledger.json").write_bytes(memory)
    (web.directory / "..refresher/00000002/manifest.json").write_text("{")
    assert cycle.begin(web).current is None
    assert seen(web) == TWO


def test_a_pin_of_a_rollback_that_never_happened_is_taken_off(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    published(web, ONE)
    published(web, TWO)
    rollback.go_back(web, to=None, clock=now)
    (web.directory / "..data").unlink()
    (web.directory / "..data").symlink_to("..refresher/00000002/files")
    assert cycle.begin(web).ledger.pinned is None


def test_retired_generations_are_closed_after_their_grace_and_pruned_beyond_keep(tmp_path: Path) -> None:
    web = asset(tmp_path, Source(), publish=Publish(keep=2, grace=timedelta(minutes=5)))

    def publish(files: dict[str, bytes]) -> None:
        source = Source(files=files, revision=str(files))
        assert (
            cycle.refresh(replace(web, provider=source), wish=Wish.RENEW, clock=now).outcome.result is Result.PUBLISHED
        )

    for files in (ONE, TWO, THREE):
        publish(files)
    again_at = cycle.tidy(web, clock=now)
    assert again_at is not None
    assert timedelta(minutes=4) < again_at - now() <= timedelta(minutes=5)
    assert (kept(web), mode(web, 2)) == (["1", "2", "3"], 0o755)
    assert cycle.tidy(web, clock=later(minutes=6)) is None
    assert (kept(web), mode(web, 2), mode(web, 3)) == (["2", "3"], 0o700, 0o755)
    rollback.go_back(web, to=2, clock=now)
    assert (mode(web, 2), seen(web)) == (0o755, TWO)
    cycle.tidy(web, clock=later(minutes=6))
    assert (kept(web), mode(web, 2), mode(web, 3)) == (["2", "3"], 0o755, 0o700)


def test_what_is_pinned_is_never_pruned(tmp_path: Path) -> None:
    web = asset(tmp_path, Source(), publish=Publish(keep=1))
    for files in (ONE, TWO, THREE):
        published(web, files)
    rollback.go_back(web, to=1, clock=now)
    cycle.tidy(web, clock=later(days=900))
    assert (kept(web), seen(web)) == (["1"], ONE)


def test_nothing_is_tidied_while_nobody_knows_what_is_visible(tmp_path: Path) -> None:
    web = asset(tmp_path, Source(), publish=Publish(keep=1))
    published(web, ONE)
    published(web, TWO)
    (web.directory / "..data").unlink()
    assert cycle.tidy(web, clock=later(days=900)) is None
    assert kept(web) == ["1", "2"]
    cycle.begin(web)
    assert seen(web) == TWO


def test_links_of_a_first_publish_that_never_came_into_sight_are_removed(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    cycle.begin(web)
    (web.directory / "app.conf").symlink_to("..data/app.conf")
    (web.directory / "theirs").symlink_to("nowhere")
    cycle.begin(web)
    assert sorted(path.name for path in web.directory.iterdir()) == ["..refresher", "theirs"]


def test_a_generation_that_cannot_be_read_now_is_not_taken_for_damaged(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    published(web, {"deep/file": b"x"})
    with opened(web) as place:
        current = place.current()
        assert current is not None
        free = os.open(os.devnull, os.O_RDONLY)  # the lowest number: it is the next one's, whatever gaps there are
        os.close(free)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                is_whole(current, place)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert is_whole(current, place)


def test_a_second_refresher_sweeps_nothing_of_what_the_first_one_has_under_way(tmp_path: Path) -> None:
    web = asset(tmp_path, Source())
    found: list[Holding] = []
    second = Thread(target=lambda: found.append(cycle.begin(web)))

    class Interrupted(Source):
        @contextmanager
        def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
            with super().fetch(held) as answer:
                yield answer
            # Everything is staged, and the second one comes.
            second.start()
            second.join()

    web = replace(web, provider=Interrupted(files=ONE))
    outcome = cycle.refresh(web, wish=Wish.RENEW, clock=Time()).outcome
    assert outcome.result is Result.PUBLISHED
    assert [holding.current and holding.current.number for holding in found] == [None]
    assert seen(web) == ONE
