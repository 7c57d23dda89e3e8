"""Several sources in one template: all from one moment, also where only one of them has something new."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from refresher import cycle
from refresher.model import Asset, Result, Wish
from refresher.settings import SharedParts, assets
from refresher.settings.read import read
from tests.fakes.source import Time

ENTRIES = {"app.yaml": {"inline": "a: {{ db.password }}\nb: {{ flags.beta }}\n"}, "all.json": {"form": "json"}}


def asset(directory: Path) -> Asset:
    sources = {name: {"file": {"path": str(directory / name)}} for name in ("db", "flags")}
    content: dict[str, Any] = {
        "volume": str(directory / "shared"),
        "assets": {"app": {"sources": sources, "render": ENTRIES}},
    }
    (made,) = assets(read(content, {}), SharedParts())
    return made


def put(directory: Path, **files: str) -> None:
    for name, text in files.items():
        source, _, file = name.partition("__")
        (directory / source).mkdir(exist_ok=True)
        (directory / source / file).write_text(text)


def shown(made: Asset) -> Any:
    return yaml.safe_load((made.directory / "app.yaml").read_text())


@pytest.mark.parametrize("restarted", [False, True])
def test_a_source_that_has_nothing_new_is_rendered_with_what_it_had(tmp_path: Path, restarted: bool) -> None:
    (tmp_path / "shared").mkdir()
    put(tmp_path, db__password="one", flags__beta="x")
    made, clock = asset(tmp_path), Time()
    assert cycle.refresh(made, wish=Wish.LOOK, clock=clock).outcome.result is Result.PUBLISHED
    made = asset(tmp_path) if restarted else made
    put(tmp_path, db__password="two")
    outcome = cycle.refresh(made, wish=Wish.LOOK, clock=clock).outcome
    assert (outcome.result, outcome.error) == (Result.PUBLISHED, None)
    assert shown(made) == {"a": "two", "b": "x"}
    put(tmp_path, flags__beta="y")
    assert cycle.refresh(made, wish=Wish.LOOK, clock=clock).outcome.error is None
    assert shown(made) == {"a": "two", "b": "y"}
