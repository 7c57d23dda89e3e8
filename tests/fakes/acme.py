"""Plugins of somebody else's package, and that package, installed for one test."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel, ConfigDict

from refresher.contract import Candidate, Change, Fetched, Finding, Held, Unchanged
from refresher.errors import PermanentError
from refresher.options import Duration, Secret, Size


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Login(Strict):
    user: str | None = None
    robot: str | None = None


class AcmeOptions(Strict):
    connection: ClassVar[frozenset[str]] = frozenset({"token", "address", "auth"})

    item: str
    address: str | None = None
    auth: Login | None = None
    logins: dict[str, list[Login]] = {}
    token: Secret | None = None
    headers: dict[str, int] = {}
    part: Size = 1024
    names: str | list[str] = "all"


class Pool:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class AcmeProvider:
    Options = AcmeOptions
    Shared = Pool

    def __init__(self, options: AcmeOptions, *, shared: Pool) -> None:
        if options.item == "impossible":
            raise PermanentError("the item can't be had")
        self.options, self.shared = options, shared

    @staticmethod
    def from_url(url: str) -> Mapping[str, Any]:
        parts = urlsplit(url)
        if not parts.netloc:
            raise ValueError("must name an item, acme://ITEM")
        return {"item": parts.netloc}

    @property
    def implied_verify(self) -> Sequence[object]:
        return [{"acme": {"level": 3 if self.options.item != "misleading" else "high"}}]

    @property
    def watched(self) -> Sequence[Path]:
        return [Path("/acme")]

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        yield Fetched(revision=self.options.item, files=[])

    def close(self) -> None:
        """Nothing is open. What a test puts in its place for a while has to have one: Python remembers who had."""


class PlainProvider:
    class Options(Strict):
        place: str = "here"

    def __init__(self, options: Options) -> None:
        self.options = options

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        yield Unchanged()


class AcmeVerifier:
    class Options(Strict):
        level: int = 1
        roots: Path | None = None
        patience: Duration | None = None

    def __init__(self, options: Options) -> None:
        self.options = options

    def verify(self, candidate: Candidate) -> Finding:
        return Finding()


class AcmeNotifier:
    class Options(Strict):
        volume_paths: ClassVar[frozenset[str]] = frozenset({"path"})

        path: Path | None = None
        url: str | None = None

    def __init__(self, options: Options) -> None:
        self.options = options

    def notify(self, change: Change) -> None:
        self.last = change


def install(
    monkeypatch: pytest.MonkeyPatch, directory: Path, groups: Mapping[str, Mapping[str, str]] | None = None
) -> None:
    """Put a package on the path whose entry points are `groups`; the classes above if none are given."""
    module = __name__
    groups = groups or {
        "providers": {"acme": f"{module}:AcmeProvider", "plain": f"{module}:PlainProvider"},
        "verifiers": {"acme": f"{module}:AcmeVerifier"},
        "notifiers": {"acme": f"{module}:AcmeNotifier"},
    }
    name = f"acme-{len(sys.path)}"
    metadata = directory / f"{name.replace('-', '_')}-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    lines = [
        line
        for kind, points in groups.items()
        for line in (f"[refresher.{kind}]", *(f"{point} = {value}" for point, value in points.items()))
    ]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(directory))
