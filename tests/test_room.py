"""Room on the volume: looked for before anything comes, and made where that is allowed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from refresher.cycle import refresh
from refresher.errors import TransientError
from refresher.model import Asset, Limits, Publish, Result, Wish
from refresher.place import Place, opened
from refresher.room import require_room
from refresher.store import Store
from refresher.volume import Directory
from tests.crash.scenes import published
from tests.fakes.models import Model, Models
from tests.fakes.source import NOON, Source, Time, asset

LATER = Time(now=NOON + timedelta(days=9999))


class Boundless(Model):
    """One that no volume has room for."""

    @property
    def size(self) -> int:
        return 2**60


class Small(Directory):
    """A store on a volume that has room for `most` generations, of one byte each."""

    most = 4

    def free_bytes(self) -> int:
        return self.most - len([name for name in self.names() if name.startswith("0")])


@contextmanager
def on_a_small_volume(web: Asset) -> Iterator[Place]:
    with opened(web) as place:
        yield replace(place, store=Store(Small(place.store.directory.fd, place.store.directory.path)))


def three_generations(tmp_path: Path, *, make_room: bool) -> Asset:
    web = asset(tmp_path, Source(), publish=Publish(make_room=make_room))
    for content in (b"1", b"2", b"3"):
        published(web, {"app.conf": content})
    return web


def test_what_has_no_room_is_not_even_begun(tmp_path: Path) -> None:
    model, boundless = Boundless("m", b"x"), Limits(file=2**62, total=2**62)
    web = replace(asset(tmp_path, Source()), provider=Models([model]), limits=boundless)
    outcome = refresh(web, wish=Wish.RENEW, clock=Time()).outcome
    assert (outcome.result, outcome.error_class) == (Result.FAILED, "TransientError")
    assert f"no room: {2**60} bytes to fetch" in str(outcome.error)
    assert model.opened == []


def test_kept_generations_give_way_the_oldest_first_and_no_more_than_needed(tmp_path: Path) -> None:
    web = three_generations(tmp_path, make_room=True)
    with on_a_small_volume(web) as place:
        require_room(1, asset=web, place=place, clock=LATER)
        assert place.store.numbers() == [1, 2, 3]
        require_room(2, asset=web, place=place, clock=LATER)
        assert place.store.numbers() == [2, 3]


def test_the_visible_generation_never_gives_way(tmp_path: Path) -> None:
    web = three_generations(tmp_path, make_room=True)
    with on_a_small_volume(web) as place:
        with pytest.raises(TransientError, match="no room: 4 bytes to fetch and 3 free"):
            require_room(4, asset=web, place=place, clock=LATER)
        assert place.store.numbers() == [3]


def test_what_a_reader_may_still_have_open_stays(tmp_path: Path) -> None:
    web = three_generations(tmp_path, make_room=True)
    with on_a_small_volume(web) as place:
        with pytest.raises(TransientError, match="no room"):
            require_room(2, asset=web, place=place, clock=Time())
        assert place.store.numbers() == [1, 2, 3]


def test_nothing_gives_way_unless_that_is_allowed(tmp_path: Path) -> None:
    web = three_generations(tmp_path, make_room=False)
    with on_a_small_volume(web) as place:
        with pytest.raises(TransientError, match=r"with publish\.make_room"):
            require_room(2, asset=web, place=place, clock=LATER)
        assert place.store.numbers() == [1, 2, 3]
