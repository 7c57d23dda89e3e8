"""The reader's terminals: one shell that a page's commands are typed into, and those that its servers keep busy."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.waiting import until

OVER = "the-command-is-over"
PATIENCE = 30.0
"""Seconds until a server has to listen, and until it has to end when it is told to."""


class Failed(Exception):  # noqa: N818 - what a page says, not an error of ours
    """What a page says doesn't work: the message is the command and what it printed."""


class Terminal:
    """A bash in a session of its own. A context manager that ends it, and all that runs in it."""

    def __init__(self, bash: subprocess.Popen[str]) -> None:
        self._bash = bash

    def close(self) -> None:
        """End it."""
        ended(self._bash)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Shell(Terminal):
    """One bash, in which all commands of a page are run; its errors go to `log`."""

    def __init__(self, directory: Path, environment: Mapping[str, str], log: Path) -> None:
        self._log = log.open("ab")
        bash = subprocess.Popen(
            ["bash"], cwd=directory, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, text=True, bufsize=1, start_new_session=True,
        )  # fmt: skip
        super().__init__(bash)
        self.run("set -m; trap 'echo \"failed: $BASH_COMMAND\"' ERR")

    def run(self, commands: str) -> str:
        """What they print. Raises Failed if one of them fails."""
        typed, printed = self._bash.stdin, self._bash.stdout
        if typed is None or printed is None:
            raise ValueError("a shell needs both pipes")
        typed.write(f"{commands}\necho; echo {OVER}\n")
        said = ""
        for line in printed:
            if line == f"{OVER}\n":
                break
            said += line
        else:
            raise Failed(f"{commands}\nThe shell is left.")
        if re.search("^failed: ", said, flags=re.M):
            raise Failed(f"{commands}\n{said}")
        return said.removesuffix("\n")

    def close(self) -> None:
        """End it, and the pipes, too, of which a shell that has left broke one."""
        super().close()
        with suppress(BrokenPipeError):
            self._bash.communicate()
        self._log.close()


class Busy(Terminal):
    """A terminal that a server keeps busy."""

    def __init__(self, commands: str, directory: Path, environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            bash = subprocess.Popen(
                ["bash", "-c", commands], cwd=directory, env=environment, stdout=output, stderr=output, text=True,
                start_new_session=True,
            )  # fmt: skip
        super().__init__(bash)
        try:
            awaited(self._listens, f"{commands} doesn't listen")
        except BaseException:
            self.close()
            raise

    def _listens(self) -> bool:
        if self._bash.poll() is not None:
            raise Failed(f"this ends, and doesn't listen: {self._bash.args}")
        return bool(listening() & {inode for pid in session(self._bash.pid) for inode in sockets(pid)})


def session(leader: int) -> list[int]:
    """The processes of the session that `leader` began."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if os.getsid(int(process.name)) == leader:
                found.append(int(process.name))
    return found


def sockets(pid: int) -> Iterator[str]:
    """The inodes of a process's sockets."""
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    yield target.removeprefix("socket:[").removesuffix("]")


def listening() -> set[str]:
    """The inodes of the TCP sockets that somebody listens on (proc(5), net/tcp: state 0A)."""
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    fields = [line.split() for table in tables for line in table]
    return {each[9] for each in fields if each[3] == "0A"}


def ended(leader: subprocess.Popen[str]) -> None:
    """End a session's processes: asked first, then made to."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        for pid in session(leader.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, how)
        with suppress(subprocess.TimeoutExpired):
            leader.wait(PATIENCE)
            return


def awaited(true: Callable[[], bool], otherwise: str) -> None:
    """Wait for what has to come true; Failed with these words if it doesn't."""
    try:
        until(true, within=PATIENCE, every=0.2)
    except AssertionError:
        raise Failed(otherwise) from None
