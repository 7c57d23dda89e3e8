"""What a page tells its reader to do: its blocks marked `sh try`, `console try` and `file try`, in order."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(?P<language>\w+) try ?(?P<where>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)
_VARYING = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2})+|[0-9]+|…")


@dataclass(frozen=True, slots=True)
class Step:
    """Commands for a terminal: `terminal` is "" for the reader's own, else one that a server keeps busy.

    `answer` is what they print as the page shows it, None where it shows nothing.
    """

    line: int
    terminal: str
    commands: str
    answer: str | None = None


def steps_of(page: Path) -> Iterator[Step]:
    """The page's steps. ValueError for a block that is nothing to do."""
    text = page.read_text()
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        match block["language"]:
            case "sh":
                yield Step(line, block["where"], block["text"])
            case "console":
                yield from _asked(line, block["text"])
            case other:
                raise ValueError(f"{page}:{line}: nobody can try {other}")


def _asked(line: int, text: str) -> Iterator[Step]:
    for asked in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, answer = asked.partition("\n")
        yield Step(line, "", command + "\n", answer.strip())


def as_shown(answer: str, shown: str) -> bool:
    """Whether a command answered what the page shows, whatever the numbers, the serials, and what stands for `…`."""
    return re.fullmatch(_pattern(shown), answer.strip()) is not None


def _pattern(shown: str) -> str:
    lines = [re.sub(r"\\ (?:\\ )*", r"\\s+", re.escape(line)) for line in shown.splitlines()]
    return r"\s*\n".join(_VARYING.sub(_any, line) for line in lines)


def _any(found: re.Match[str]) -> str:
    if found[0] == "…":
        return ".*"
    return "[0-9a-f:]+" if ":" in found[0] else "[0-9]+"
