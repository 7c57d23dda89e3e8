"""Telling by a signal, to a process that is found anew each time. The pod has to share its process namespace.

Signals are sent through a pidfd (Linux 5.3), which stands for one process: a number alone may have been given to
another one meanwhile.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from refresher.abilities import Observation
from refresher.contract import Change
from refresher.errors import TransientError
from refresher.notifiers.confirm import ConfirmOptions, confirm, observed

PROC = Path("/proc")
_PID_FILE_LIMIT = 64


def _signal_name(name: str) -> str:
    short = name.upper().removeprefix("SIG")
    if f"SIG{short}" not in signal.Signals.__members__:
        raise ValueError("must be a signal's name such as HUP or USR1")
    return short


class SignalOptions(BaseModel):
    """Which signal, and to whom.

    `process` is a pattern (`*`, `?`, `[…]`) for the process's name, as `ps -o comm` shows it (15 characters), or for
    its whole command line, arguments joined by blanks. Of those that fit, the ones are told whose parent doesn't fit: a
    master and not its workers. With `pid_file` only the process that it names is told, and only if it fits.
    `confirm` looks afterwards at what the app runs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    signal: Annotated[str, AfterValidator(_signal_name)] = "HUP"
    process: Annotated[str, Field(min_length=1)]
    pid_file: Path | None = None
    confirm: ConfirmOptions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A running process as /proc shows it; `command_line` is empty for kernel threads and those that ended."""

    pid: int
    parent: int
    name: str
    command_line: str

    @classmethod
    def read(cls, pid: int) -> Self | None:
        """None if there is no such process, or it may not be looked at."""
        try:
            stat = (PROC / str(pid) / "stat").read_text(errors="replace")
            arguments = (PROC / str(pid) / "cmdline").read_bytes()
        except OSError:
            return None
        # The name stands in parentheses and may hold some itself.
        before, _, after = stat.rpartition(")")
        command_line = arguments.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        return cls(pid=pid, parent=int(after.split()[1]), name=before.partition("(")[2], command_line=command_line)


class SignalNotifier:
    """Sends a signal to the processes that fit a pattern; never to itself, nor to PID 1 (the pod's or ours)."""

    Options = SignalOptions

    def __init__(self, options: SignalOptions) -> None:
        self._options = options
        self._signal = signal.Signals[f"SIG{options.signal}"]

    def notify(self, change: Change) -> None:
        """Raises TransientError if nobody is there to be told, we have no right to, or it isn't confirmed."""
        told = [process for process in self._found() if self._told(process)]
        if not told:
            raise TransientError(
                f"no process fits {self._options.process!r}, so none got the signal {self._options.signal}"
            )
        confirm(self._options.confirm, change)

    def diagnose(self, change: Change | None) -> Iterator[Observation]:
        """Whether a process fits, and could be sent the signal, which none is; and what the app runs, if asked."""
        yield from self._reached()
        yield from observed(self._options.confirm, change)

    def _reached(self) -> Iterator[Observation]:
        try:
            found = self._found()
        except TransientError as error:
            yield Observation.fail("process", str(error), "Start the app, or correct pid_file and process.")
            return
        if not found:
            advice = "Start the app, correct process, or set shareProcessNamespace: true for the pod."
            yield Observation.fail("process", f"no process fits {self._options.process!r}", advice)
        for process in found:
            yield _reachable(process)

    def _found(self) -> Sequence[Process]:
        if self._options.pid_file is not None:
            return [self._named_by(self._options.pid_file)]
        fitting = {process.pid: process for process in _processes() if self._fits(process)}
        return [process for process in fitting.values() if process.parent not in fitting]

    def _named_by(self, pid_file: Path) -> Process:
        pid = _read_pid(pid_file)
        process = Process.read(pid)
        if process is None or not self._fits(process):
            raise TransientError(f"{pid_file} names process {pid}, which does not fit {self._options.process!r}")
        return process

    def _fits(self, process: Process) -> bool:
        if process.pid <= 1 or process.pid == os.getpid() or not process.command_line:
            return False
        return any(fnmatchcase(text, self._options.process) for text in (process.name, process.command_line))

    def _told(self, process: Process) -> bool:
        try:
            with closing(_Pidfd(process.pid)) as pidfd:
                # Looked at again: between the first look and the pidfd the number may have become another process's.
                again = Process.read(process.pid)
                if again is None or not self._fits(again):
                    return False
                signal.pidfd_send_signal(pidfd.number, self._signal)
        except ProcessLookupError:
            return False
        except OSError as error:
            raise TransientError(
                f"process {process.pid} can't be sent {self._options.signal}: {error.strerror}"
            ) from error
        return True


def _reachable(process: Process) -> Observation:
    shown = f"process {process.pid} ({process.name})"
    try:
        os.kill(process.pid, 0)  # checks the right to send one, and sends none (kill(2))
    except ProcessLookupError:
        return Observation.warn("process", f"{shown} has just ended", "See whether the app keeps restarting.")
    except OSError as error:
        advice = "Run refresher as the app's user, or add the capability KILL."
        return Observation.fail("process", f"{shown} can't be sent a signal: {error.strerror}", advice)
    return Observation.ok("process", f"{shown} fits, and can be sent a signal")


class _Pidfd:
    def __init__(self, pid: int) -> None:
        self.number = os.pidfd_open(pid)

    def close(self) -> None:
        os.close(self.number)


def _processes() -> Iterator[Process]:
    for entry in PROC.iterdir():
        process = Process.read(int(entry.name)) if entry.name.isdecimal() else None
        if process is not None:
            yield process


def _read_pid(pid_file: Path) -> int:
    try:
        with pid_file.open("rb") as file:
            written = file.read(_PID_FILE_LIMIT).split()
    except OSError as error:
        raise TransientError(f"the PID file {pid_file} can't be read: {error.strerror}") from error
    # PostgreSQL and others write more lines; the first word is the number.
    if not written or not written[0].isdigit() or int(written[0]) <= 1:
        raise TransientError(f"the PID file {pid_file} does not begin with a process number above 1")
    return int(written[0])
