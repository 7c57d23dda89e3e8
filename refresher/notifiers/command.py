"""Telling by a command: 0 is heard, 65 (EX_DATAERR of sysexits.h) is refused, everything else is tried again."""

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import IO, Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from refresher.abilities import Observation
from refresher.contract import Change
from refresher.errors import RejectedError, TransientError
from refresher.notifiers.confirm import ConfirmOptions, confirm, observed
from refresher.notifiers.excerpt import READ_LIMIT, SHORTEST_SECRET, excerpt
from refresher.options import Duration

DATA_ERROR = 65
"""EX_DATAERR in sysexits.h: the input was wrong."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHUNK = 65536


class CommandOptions(BaseModel):
    """What to run, without a shell. `env` names the variables of our own environment that it gets besides PATH.

    It gets the change as REFRESHER_ASSET, _GENERATION, _CAUSE, _REVISION, _DIGEST and _PATH. After `timeout` it is
    killed, and its process group with it; what it leaves in the background when it ends by itself goes on. `confirm`
    looks afterwards at what the app runs. What it writes is shown if it fails, without the values of `env`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    timeout: Duration = timedelta(seconds=30)
    env: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ()
    confirm: ConfirmOptions | None = None


class CommandNotifier:
    """Runs a command for each change."""

    Options = CommandOptions

    def __init__(self, options: CommandOptions) -> None:
        self._options = options

    def notify(self, change: Change) -> None:
        """Raises TransientError or RejectedError, with what the command wrote, and TransientError if unconfirmed."""
        code, output = self._run(change)
        if code == 0:
            confirm(self._options.confirm, change)
            return
        shown = excerpt(output, secrets=self._secrets())
        said = f"{self._options.argv[0]} {_ended(code, self._options.timeout)}: {shown}".removesuffix(": ")
        raise RejectedError(said) if code == DATA_ERROR else TransientError(said)

    def diagnose(self, change: Change | None) -> Iterator[Observation]:
        """Whether the program is there and may be run, which it isn't; and what the app runs, if it can be asked."""
        name = self._options.argv[0]
        found = shutil.which(name, path=os.environ.get("PATH", DEFAULT_PATH))
        if found:
            yield Observation.ok("command", f"{found} can be run")
        else:
            advice = "Put the program into this container's image, executable, and name its path."
            yield Observation.fail("command", f"{name} is not there, or can't be run by user {os.geteuid()}", advice)
        yield from observed(self._options.confirm, change)

    def _run(self, change: Change) -> tuple[int | None, bytes]:
        """The exit code, None if it had to be killed, and the start of its output."""
        with ExitStack() as opened:
            child = self._started(change)
            # The group outlives this only if the command ended by itself: then nothing is killed here.
            opened.callback(_kill_unless_ended, child)
            output = _Output(child)
            opened.callback(output.close)
            ended = output.followed_until_end(time.monotonic() + self._options.timeout.total_seconds())
            return (child.wait() if ended else None), bytes(output.start)

    def _started(self, change: Change) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self._options.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment(change),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise TransientError(f"{self._options.argv[0]} can't be started: {reason}") from error

    def _named(self) -> dict[str, str]:
        return {name: os.environ[name] for name in self._options.env if name in os.environ}

    def _secrets(self) -> list[str]:
        """A password comes this way, and a script with `set -x` writes it out."""
        return [value for value in self._named().values() if len(value) >= SHORTEST_SECRET]

    def _environment(self, change: Change) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", DEFAULT_PATH),
            **self._named(),
            "REFRESHER_ASSET": change.asset,
            "REFRESHER_GENERATION": str(change.generation),
            "REFRESHER_CAUSE": change.cause,
            "REFRESHER_REVISION": change.revision,
            "REFRESHER_DIGEST": change.digest,
            "REFRESHER_PATH": str(change.path),
        }


class _Output:
    """What the command writes: the start is kept, the rest is read and dropped, so that it never waits for us."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.start = bytearray()
        self._pipe = cast("IO[bytes]", child.stdout)
        self._pidfd = os.pidfd_open(child.pid)
        os.set_blocking(self._pipe.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._selector.register(self._pidfd, selectors.EVENT_READ)

    def followed_until_end(self, deadline: float) -> bool:
        """Whether the command ended by itself before the deadline (of the monotonic clock).

        Its end counts, not the pipe's: what it left in the background may keep that open for ever.
        """
        while (left := deadline - time.monotonic()) > 0:
            ready = {key.fileobj for key, _ in self._selector.select(left)}
            open_still = self._take() if self._pipe in ready or self._pidfd in ready else True
            if self._pidfd in ready:
                return True
            if not open_still:
                self._selector.unregister(self._pipe)
        return False

    def close(self) -> None:
        self._selector.close()
        os.close(self._pidfd)
        self._pipe.close()

    def _take(self) -> bool:
        """Read what is there; False at the end of the pipe."""
        try:
            read = os.read(self._pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return True
        self.start += read[: READ_LIMIT - len(self.start)]
        return bool(read)


def _kill_unless_ended(child: subprocess.Popen[bytes]) -> None:
    if child.returncode is None:
        # Not waited for yet, so that the number of the group is still the child's.
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _ended(code: int | None, timeout: timedelta) -> str:
    if code is None:
        return f"was killed, not done within {timeout.total_seconds():g} s"
    return f"was ended by signal {-code}" if code < 0 else f"exited with {code}"
