"""Bars on a terminal, for what has been on its way for more than a moment; nothing anywhere else."""

import io
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from refresher.outlet import Outlet
from refresher.traffic import Transfer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

Transfers = Callable[[], Mapping[str, Transfer]]
"""Answers what is on its way, by asset."""

A_MOMENT = 0.5
"""Seconds before a bar is worth the movement on the screen."""
EVERY = 0.25


@contextmanager
def bars(transfers: Transfers) -> Iterator[None]:
    """Draw a bar for each asset's transfer while this is open, if both standard streams are a terminal."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield
        return
    over = Event()
    drawing = Thread(target=_draw, args=(transfers, over), name="bars", daemon=True)
    drawing.start()
    try:
        yield
    finally:
        over.set()
        drawing.join()


def _draw(transfers: Transfers, over: Event) -> None:
    if over.wait(A_MOMENT):
        return
    # Loaded here, because most commands end before, and a sidecar has no terminal: it takes 6 MiB.
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_interactive:  # a dumb terminal is a terminal
        return
    tasks: dict[str, TaskID] = {}
    with _logs_above(console), _drawn(console) as progress:
        while not over.wait(EVERY):
            _show(transfers(), tasks, progress)


def _drawn(console: "Console") -> "Progress":
    from rich import progress

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _show(transfers: Mapping[str, Transfer], tasks: "dict[str, TaskID]", progress: "Progress") -> None:
    begun = {name: transfer for name, transfer in transfers.items() if transfer.seconds > A_MOMENT}
    for name in tasks.keys() - begun.keys():
        progress.remove_task(tasks.pop(name))
    for name, transfer in begun.items():
        if name not in tasks:
            # What came before is no part of the speed.
            tasks[name] = progress.add_task(name, total=transfer.expected, completed=transfer.received)
        doing = ", being checked" if transfer.received == transfer.expected else ""
        progress.update(tasks[name], completed=transfer.received, description=f"{name}{doing}")


@contextmanager
def _logs_above(console: "Console") -> Iterator[None]:
    """Have the lines of the log printed above the bars, for written through them they would tear them."""
    log = logging.getLogger()
    before = log.handlers
    log.handlers = [_above(handler, console) if isinstance(handler, Outlet) else handler for handler in before]
    try:
        yield
    finally:
        log.handlers = before


def _above(handler: Outlet, console: "Console") -> logging.Handler:
    above = logging.StreamHandler(_Above(console))
    above.setFormatter(handler.formatter)
    above.filters = handler.filters
    return above


class _Above(io.TextIOBase):
    """A stream whose lines are printed above what is drawn."""

    def __init__(self, console: "Console") -> None:
        self._console = console

    def write(self, text: str) -> int:
        from rich.text import Text

        self._console.print(Text(text.rstrip("\n")), soft_wrap=True)
        return len(text)
