"""Renderings of inputs that a test names."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from refresher.contract import InlineFile
from refresher.render.entries import Entry
from refresher.render.inputs import Inputs
from refresher.render.recipe import recipe


def inputs(files: Mapping[str, str | bytes]) -> Inputs:
    return Inputs({n: InlineFile(n, c if isinstance(c, bytes) else c.encode()) for n, c in files.items()})


def made(files: Mapping[str, str | bytes], sources: Sequence[str] = (), **entry: Any) -> str:
    """What one entry makes of the files."""
    (file,) = recipe({"out": Entry(**entry)}, sources, os.environ).files(inputs(files))
    return file.content.decode()


def rendered(template: str, files: Mapping[str, str | bytes], sources: Sequence[str] = (), **options: Any) -> str:
    """What a template makes of the files."""
    return made(files, sources, inline=template, **options)
