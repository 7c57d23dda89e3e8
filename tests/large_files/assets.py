"""What the tests of large files share: contents, an asset of them, and what is under way on its volume."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from refresher import cycle
from refresher.model import Asset, Outcome, Wish
from tests.fakes.models import MiB, Model, Models, content
from tests.fakes.source import Source, Time, asset

ONE, TWO, THREE = content(12 * MiB, seed=1), content(12 * MiB, seed=2), content(MiB, seed=3)


def web(volume: Path, files: Sequence[Model], *, revision: str = "r1", **changes: object) -> Asset:
    return replace(asset(volume, Source()), **{"provider": Models(files, revision), **changes})  # type: ignore[arg-type]


def refresh(the: Asset, *, wish: Wish = Wish.RENEW) -> Outcome:
    return cycle.refresh(the, wish=wish, clock=Time()).outcome


def incoming(volume: Path) -> list[Path]:
    return sorted((volume / "web/..refresher").glob("incoming-*"))


def inode(path: Path) -> int:
    return path.stat().st_ino
