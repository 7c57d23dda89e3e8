"""The log's way out of the process. Who is slow to read it, or gone, must not hold up the work that it is about.

A pipe that nobody reads takes 64 KiB. Then whoever writes to it waits for as long as that lasts, and a renewal with it.
"""

import logging
import select
from contextlib import suppress
from os import write

PATIENCE = 1000
"""Milliseconds that a reader is waited for; who has let us wait for so long isn't waited for until he reads on."""
PIECE = select.PIPE_BUF
"""Bytes that go at once into a pipe that `poll` says has room (pipe(7)); more could wait."""


class Outlet(logging.Handler):
    """Writes lines to a descriptor. Those that nobody takes are left out, and the next that is taken says how many."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd, self._patience = fd, PATIENCE
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._rest = b""
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line, after what is left of the one before: no line is ever torn."""
        self._push(b"")
        if self._rest:
            self._left_out += 1
            return
        try:
            lines = self._lines(record)
        except Exception:  # noqa: BLE001 - as all handlers: a record that can't be written must not stop who wrote it
            self.handleError(record)
            return
        self._push(lines)

    def _lines(self, record: logging.LogRecord) -> bytes:
        records = [*self._gap(), record]
        return "".join(f"{self.format(each)}\n" for each in records).encode(errors="backslashreplace")

    def _gap(self) -> list[logging.LogRecord]:
        left_out, self._left_out = self._left_out, 0
        if not left_out:
            return []
        said = {"name": "refresher", "levelname": "WARNING", "left_out": left_out}
        text = f"nobody read the log, so {left_out} line{'s are' if left_out != 1 else ' is'} missing here"
        return [logging.makeLogRecord({**said, "levelno": logging.WARNING, "msg": text})]

    def _push(self, lines: bytes) -> None:
        """Write it, or as much of it as is taken."""
        self._rest += lines
        # A reader that is gone, or a full disk: nobody could be told.
        with suppress(OSError):
            while self._rest and self._poll.poll(self._patience):
                self._rest = self._rest[write(self._fd, self._rest[:PIECE]) :]
        self._patience = 0 if self._rest else PATIENCE
