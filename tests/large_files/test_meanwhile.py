"""Nobody waits for a large file: what others do to the asset's place while it comes."""

from dataclasses import replace
from pathlib import Path

from refresher import cycle, rollback
from refresher.ledger import Told
from refresher.model import Asset, Result, Wish
from refresher.place import opened
from tests.fakes.models import MiB, Model, Models, content
from tests.fakes.source import NOON, Time, read
from tests.large_files.assets import ONE, TWO, incoming, refresh, web


def test_an_earlier_generation_can_be_put_back_while_a_model_is_on_its_way(tmp_path: Path) -> None:
    def come(seed: int) -> Asset:
        return web(tmp_path, [Model("m", content(MiB, seed=seed), revision=str(seed))], revision=str(seed))

    for seed in (1, 2):
        refresh(come(seed))
    the = come(3)

    class Interrupted(Models):
        def fetch(self, held):  # type: ignore[no-untyped-def, override]
            assert rollback.go_back(the, to=1, clock=Time()).outcome.generation == 1
            return super().fetch(held)

    outcome = refresh(replace(the, provider=Interrupted(the.provider.files, "3")))  # type: ignore[attr-defined]
    assert (outcome.result, outcome.generation) == (Result.UNCHANGED, 1)
    assert read(tmp_path / "web") == {"m": content(MiB, seed=1)}
    with opened(the) as place:
        assert place.store.ledger().pinned == 1
    assert refresh(the).result is Result.UNCHANGED


def test_what_another_refresher_published_meanwhile_is_no_failure_if_it_is_the_same(tmp_path: Path) -> None:
    class Interrupted(Models):
        def fetch(self, held):  # type: ignore[no-untyped-def, override]
            assert refresh(web(tmp_path, [Model("m", ONE)])).generation == 1
            return super().fetch(held)

    outcome = refresh(replace(web(tmp_path, []), provider=Interrupted([Model("m", ONE)])))
    assert (outcome.result, outcome.generation) == (Result.UNCHANGED, 1)
    assert incoming(tmp_path) == []


def test_what_was_damaged_meanwhile_is_not_taken_for_held(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("m", ONE)]))

    class Interrupted(Models):
        def fetch(self, held):  # type: ignore[no-untyped-def, override]
            (tmp_path / "web/..refresher/00000001/files/m").unlink()
            assert cycle.begin(the).current is None
            return super().fetch(held)

    the = web(tmp_path, [])
    refreshed = cycle.refresh(replace(the, provider=Interrupted([])), wish=Wish.LOOK, clock=Time())
    assert refreshed.holding is not None
    assert refreshed.holding.current is None


def test_nothing_stays_of_a_transfer_that_nobody_wants_any_more(tmp_path: Path) -> None:
    old = web(tmp_path, [Model("m", ONE)])
    refresh(old)
    broken = web(tmp_path, [Model("m", TWO, revision="v2", breaks=[7 * MiB, 0, 0, 0])], revision="r2")
    refresh(broken)
    assert len(incoming(tmp_path)) == 1
    assert refresh(old).result is Result.UNCHANGED
    assert incoming(tmp_path) == []


def test_nothing_stays_of_a_transfer_while_an_earlier_generation_is_pinned(tmp_path: Path) -> None:
    for seed in (1, 2):
        refresh(web(tmp_path, [Model("m", content(MiB, seed=seed), revision=str(seed))], revision=str(seed)))
    broken = web(tmp_path, [Model("m", ONE, revision="3", breaks=[7 * MiB, 0, 0, 0])], revision="3")
    refresh(broken)
    rollback.go_back(broken, to=1, clock=Time())
    assert len(incoming(tmp_path)) == 1
    assert refresh(broken).result is Result.UNCHANGED
    assert incoming(tmp_path) == []


def test_what_the_app_is_told_meanwhile_is_not_forgotten(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("m", ONE)]))

    class Interrupted(Models):
        def fetch(self, held):  # type: ignore[no-untyped-def, override]
            with opened(the) as place, place.store.locked():
                told = Told(generation=1, at=NOON)
                place.store.remember(place.store.ledger().with_told("app:1", told), fsync=False)
            return super().fetch(held)

    the = web(tmp_path, [], revision="r2")
    assert refresh(replace(the, provider=Interrupted([Model("m", TWO, revision="v2")], "r2"))).generation == 2
    with opened(the) as place:
        assert place.store.ledger().told["app:1"].generation == 1
