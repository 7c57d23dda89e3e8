"""What docs/apps.md says: its recipes are what the tests run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PAGE = (Path(__file__).parents[3] / "docs/apps.md").read_text()
_BLOCK = re.compile(r"^```(\w+) ?(\w*)\n(.*?)^```$", flags=re.M | re.S)


@dataclass(frozen=True)
class Recipe:
    """A section of the page: what is added to the asset, the app's own files in their order, its row in the table."""

    name: str
    asset: str
    files: tuple[str, ...]
    row: dict[str, str]


def recipes() -> dict[str, Recipe]:
    """By the section's heading."""
    sections = dict(section.split("\n", 1) for section in re.split(r"^## ", PAGE, flags=re.M)[1:])
    rows = _rows()
    return {name: _recipe(name, sections[name], row) for name, row in rows.items()}


def configuration() -> dict[str, Any]:
    """What all recipes are added to."""
    (text,) = (text for language, role, text in _BLOCK.findall(PAGE) if (language, role) == ("yaml", ""))
    whole: dict[str, Any] = yaml.safe_load(text)
    return whole


def _recipe(name: str, section: str, row: dict[str, str]) -> Recipe:
    blocks = _BLOCK.findall(section)
    (asset,) = (text for language, role, text in blocks if (language, role) == ("yaml", "asset"))
    return Recipe(name, asset, tuple(text for _, role, text in blocks if role == "app"), row)


def _rows() -> dict[str, dict[str, str]]:
    """The table: by the heading that its first column leads to, its other columns by their names."""
    lines = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    first, _, *rest = lines
    headings = {_anchor(heading): heading for heading in re.findall(r"^## (.*)$", PAGE, flags=re.M)}
    return {headings[re.findall(r"\(#(.+)\)", row[0])[0]]: dict(zip(first[1:], row[1:], strict=True)) for row in rest}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
