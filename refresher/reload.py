"""The configuration of a running sidecar: read again when its file changes, and used as a whole or not at all.

the file changed, SIGHUP --> read, check, make what differs --works--> change(before, after)
--doesn't--> what runs goes on, and says why
"""

import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from refresher.bug import places_of
from refresher.errors import ConfigError
from refresher.model import Clock
from refresher.settings import Assembly, Settings, SharedParts, assemble, named_files
from refresher.state import ConfigurationState

if TYPE_CHECKING:
    from refresher.watch import Watch

log = logging.getLogger("refresher")

LOOK = timedelta(seconds=10)
"""How often the files are looked at where the system gives no events."""
SHOWN = 20
"""Problems that status and log show of one configuration."""
FIXED = {"control": ("listen", "hosts", "token"), "probes": ("listen",)}
"""The sections and keys that are used as they were at the start: who listens isn't changed while others ask there."""


class ConfigurationFile:
    """What the configuration is read from: `path`, or the command line and the environment alone if that is None."""

    def __init__(self, path: Path | None, load: Callable[[], Settings]) -> None:
        self.path, self._load = path, load
        self._read: tuple[int, ...] | None = None

    def read(self) -> Settings:
        """The configuration as it is now. Raises ConfigError."""
        self._read = self._facts()
        return self._load()

    def differs(self) -> bool:
        """Whether the file isn't any more the one that was read."""
        return self._facts() != self._read

    def _facts(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self.path) if self.path else None  # noqa: PTH116 - as a reader gets it, links followed
        except OSError:
            return None
        return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) if status else None


class Reload:
    """Reads the configuration again, and hands on what differs.

    `change` is called with what ran and what is to run; it can't fail. `again` has the next reading done: never two at
    once, and in no thread that somebody waits for.
    """

    def __init__(
        self,
        file: ConfigurationFile,
        running: Assembly,
        *,
        shared: SharedParts,
        clock: Clock,
        change: Callable[[Assembly, Assembly], None],
        again: Callable[[], None],
    ) -> None:
        self._file, self.running, self._shared = file, running, shared
        self._clock, self._change, self._again = clock, change, again
        self._at_start = running.settings
        self.state = ConfigurationState(loaded_at=clock())
        self._watch: Watch | None = None
        self._watched: frozenset[Path] = frozenset()

    def start(self) -> None:
        """Follow the file from now on; what it was changed to since it was read counts."""
        self._watch_files()

    def stop(self) -> None:
        """Follow nothing any more."""
        if self._watch:
            self._watch.stop()

    def read(self) -> None:
        """Read it, and use it if it works."""
        if self._file.path is None:
            log.warning("there is no configuration file to read again")
            return
        refused = None
        try:
            refused = self._file.read()
            after = assemble(refused, self._shared, self.running)
        except ConfigError as error:
            self._refuse(error.problems)
        except Exception as error:  # noqa: BLE001 - a plugin's bug; its text may quote a secret
            self._refuse([f"unexpected {type(error).__name__}, {places_of(error)}"])
        else:
            self._use(after)
            refused = None
        self._watch_files(refused)

    def _use(self, after: Assembly) -> None:
        before, self.running = self.running, after
        self.state = ConfigurationState(
            loaded_at=self._clock(), restart_needed=tuple(_fixed(self._at_start, after.settings))
        )
        self._change(before, after)
        if self.state.restart_needed:
            log.warning("only a restart makes these count: %s", ", ".join(self.state.restart_needed))

    def _refuse(self, problems: Iterable[str]) -> None:
        """Once for each content that doesn't work: it stays until somebody mends it."""
        found = list(problems)
        more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        shown = (*found[:SHOWN], *more)
        if shown != self.state.problems:
            self.state = replace(self.state, problems=shown)
            log.error("the configuration doesn't work, and the one before goes on: %s", "; ".join(shown))

    def _watch_files(self, refused: Settings | None = None) -> None:
        """Watch the file, and those that it names; so that what is missing may come, also those of a refused one."""
        if self._file.path is None:
            return
        named = named_files(refused) if refused else set()
        wanted = frozenset({self._file.path, *self.running.files(), *named})
        if wanted == self._watched:
            return
        from refresher.watch import Watch  # who watches nothing need not load watchdog

        before, self._watch, self._watched = self._watch, Watch(sorted(wanted), self._again, look=LOOK), wanted
        self._watch.start()
        if before:
            before.stop()
        # What changed between the reading and the watch is no change to it.
        if refused or self._file.differs() or self.running.is_outdated():
            self._again()


def _fixed(running: Settings, wanted: Settings) -> Iterable[str]:
    """The keys that would have other values after a restart."""
    for section, keys in FIXED.items():
        one, other = getattr(running, section), getattr(wanted, section)
        yield from (f"{section}.{key}" for key in keys if getattr(one, key) != getattr(other, key))
