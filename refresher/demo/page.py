"""What people read: short numbered steps, aligned, in colour on a terminal."""

import os
from typing import TextIO

BOLD, GREEN, DIM, RED = "1", "32", "2", "31"
WIDTH = 11
"""Of the first column."""


class Page:
    """Writes lines as they come."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colours = out.isatty() and not os.environ.get("NO_COLOR")
        self._steps = 0

    def title(self, text: str) -> None:
        """The first line, or the last."""
        self._write(self._painted(text, BOLD))

    def step(self, text: str) -> None:
        """A new numbered step."""
        self._steps += 1
        self._write(f"\n{self._steps:>2}  {self._painted(text, BOLD)}")

    def fact(self, name: str, text: str) -> None:
        """Something about the step: what, and what was seen."""
        self._write(f"    {self._painted(f'{name:<{WIDTH}}', DIM)}  {text}")

    def good(self, name: str, text: str) -> None:
        """A fact that the step was for."""
        self._write(f"    {self._painted(f'{name:<{WIDTH}}', GREEN)}  {text}")

    def bad(self, name: str, text: str) -> None:
        """Something that was refused."""
        self._write(f"    {self._painted(f'{name:<{WIDTH}}', RED)}  {text}")

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text

    def _write(self, line: str) -> None:
        print(line, file=self._out, flush=True)
