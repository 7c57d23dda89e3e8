"""A command on a terminal: what it writes there, as it writes it."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Thread

CHOSEN_BY_WHOEVER_RUNS_THE_TESTS = ("CI", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "LINES")


class Terminal:
    """A process on a terminal of 120 columns."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int) -> None:
        self.process, self._fd, self._written = process, fd, b""
        self._reading = Thread(target=self._read, daemon=True)
        self._reading.start()

    @property
    def written(self) -> str:
        """Everything so far, the terminal's own language included."""
        return self._written.decode(errors="replace")

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        code = self.process.wait(60)
        self._reading.join(10)
        return code

    def _read(self) -> None:
        with suppress(OSError):  # that is how the end looks on Linux
            while piece := os.read(self._fd, 65536):
                self._written += piece


@contextmanager
def on_terminal(*words: str, environment: Mapping[str, str] | None = None, **changes: str) -> Iterator[Terminal]:
    """`python WORDS`, with a terminal for all three standard streams."""
    kept = {
        name: value
        for name, value in (os.environ if environment is None else environment).items()
        if name not in CHOSEN_BY_WHOEVER_RUNS_THE_TESTS
    }
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *words],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**kept, "TERM": "xterm-256color", "COLUMNS": "120", **changes},
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
