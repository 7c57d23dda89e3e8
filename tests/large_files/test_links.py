"""What is kept is linked, and neither fetched nor stored again."""

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from refresher import cycle
from refresher.model import LayoutName, Publish, Result
from tests.fakes.models import MiB, Model, content
from tests.fakes.source import NOON, Time, read
from tests.large_files.assets import ONE, THREE, TWO, inode, refresh, web


def test_a_new_generation_costs_the_files_that_changed(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE), Model("deep/b", TWO)]))
    second = [Model("a", ONE), Model("deep/b", THREE, revision="v2")]
    outcome = refresh(web(tmp_path, second, revision="r2"))
    assert (outcome.generation, outcome.fetched_bytes) == (2, len(THREE))
    assert [model.moved for model in second] == [0, len(THREE)]
    store = tmp_path / "web/..refresher"
    assert inode(store / "00000001/files/a") == inode(store / "00000002/files/a")
    assert read(tmp_path / "web") == {"a": ONE, "deep/b": THREE}


def test_what_comes_under_another_name_or_revision_is_stored_once(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE)]))
    outcome = refresh(web(tmp_path, [Model("b/c", ONE, revision="v2"), Model("d", TWO)], revision="r2"))
    assert outcome.fetched_bytes == len(ONE) + len(TWO)
    store = tmp_path / "web/..refresher"
    assert inode(store / "00000001/files/a") == inode(store / "00000002/files/b/c")


def test_a_promised_digest_that_is_kept_is_not_fetched(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE)]))
    same = Model("b", ONE, revision="v2", digest=f"sha256:{hashlib.sha256(ONE).hexdigest()}")
    assert refresh(web(tmp_path, [same], revision="r2")).result is Result.PUBLISHED
    assert same.moved == 0


def test_a_promised_digest_is_enough_where_the_source_has_no_revisions(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE)]))
    same = Model("a", ONE, revision="", digest=f"sha256:{hashlib.sha256(ONE).hexdigest()}")
    new = Model("b", THREE, revision="")
    assert refresh(web(tmp_path, [same, new], revision="")).result is Result.PUBLISHED
    assert (same.moved, new.moved) == (0, len(THREE))


@pytest.mark.parametrize("spoil", ["content", "mode", "gone"])
def test_what_somebody_changed_is_fetched_and_not_linked(tmp_path: Path, spoil: str) -> None:
    refresh(web(tmp_path, [Model("a", ONE), Model("b", TWO)]))
    kept = tmp_path / "web/..refresher/00000001/files/a"
    match spoil:
        case "content":
            with kept.open("r+b") as file:
                file.write(b"forged")
        case "mode":
            kept.chmod(0o666)
        case _:
            kept.unlink()
    again = [Model("a", ONE), Model("b", THREE, revision="v2")]
    assert refresh(web(tmp_path, again, revision="r2")).result is Result.PUBLISHED
    assert again[0].moved == len(ONE)
    assert read(tmp_path / "web") == {"a": ONE, "b": THREE}


def test_another_source_s_revisions_mean_nothing(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE), Model("b", TWO)]))
    other = [Model("a", THREE), Model("b", TWO)]
    assert refresh(web(tmp_path, other, source="sha256:other")).result is Result.PUBLISHED
    assert read(tmp_path / "web") == {"a": THREE, "b": TWO}


def test_other_modes_make_other_files(tmp_path: Path) -> None:
    refresh(web(tmp_path, [Model("a", ONE), Model("b", TWO)]))
    again = [Model("a", ONE), Model("b", THREE, revision="v2")]
    refresh(web(tmp_path, again, revision="r2", publish=Publish(mode=0o600)))
    assert (tmp_path / "web/a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "web/..refresher/00000001/files/a").stat().st_mode & 0o777 == 0o644


def test_secrets_are_never_linked(tmp_path: Path) -> None:
    def files() -> list[Model]:
        return [Model("a", ONE[: 2 * MiB], sensitive=True), Model("b", THREE)]

    refresh(web(tmp_path, files()))
    again = files()
    refresh(web(tmp_path, [*again, Model("c", TWO)], revision="r2"))
    assert [model.moved for model in again] == [2 * MiB, 0]


def test_what_is_visible_by_a_link_of_its_own_is_never_linked(tmp_path: Path) -> None:
    one_file = Publish(layout=LayoutName.FILE)
    for number, came in enumerate((ONE, TWO, ONE), 1):
        the = web(tmp_path, [Model("a", came, revision=str(number % 2))], revision=str(number), publish=one_file)
        assert refresh(the).generation == number
        assert (tmp_path / "web/a").read_bytes() == came


def test_a_generation_that_is_pruned_takes_no_link_with_it(tmp_path: Path) -> None:
    for number in range(1, 5):
        the = web(tmp_path, [Model("a", ONE), Model("b", THREE, revision=str(number))], revision=str(number))
        the.provider.files[1].content = content(MiB, seed=number + 10)  # type: ignore[attr-defined]
        assert refresh(the).result is Result.PUBLISHED
        cycle.tidy(the, clock=Time(now=NOON + timedelta(days=9999)))
    assert (tmp_path / "web/a").read_bytes() == ONE
