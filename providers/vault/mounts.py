"""What a server said of its mounts: asked once for all that read from one of them."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Engine = Mapping[str, Any]
"""A mount as the server describes it: `type`, `options`."""


class Mounts:
    """Thread-safe."""

    def __init__(self) -> None:
        self._engines: dict[str, Engine] = {}
        self._flight = threading.Lock()

    @property
    def engines(self) -> Iterable[Engine]:
        """Those that are known."""
        return tuple(self._engines.values())

    def clear(self) -> None:
        """Forget all: one of them may be another by now."""
        self._engines.clear()

    def of(self, path: str, ask: Callable[[], tuple[str, Engine] | None]) -> tuple[str, Engine] | None:
        """The mount that `path` is in, and its engine: what `ask` finds, which is None if it doesn't find out.

        The sources of an asset ask side by side. The first one's answer is waited for, and serves all of its mount.
        """
        if known := self._known(path):
            return known
        # Who waits here for one that hangs has no time left for a request of its own: nobody waits for two limits.
        with self._flight:
            return self._known(path) or self._asked(ask)

    def _known(self, path: str) -> tuple[str, Engine] | None:
        # No mount lies inside another one, so what begins with a mount's path is in it.
        return next((found for found in tuple(self._engines.items()) if path.startswith(found[0])), None)

    def _asked(self, ask: Callable[[], tuple[str, Engine] | None]) -> tuple[str, Engine] | None:
        found = ask()
        # Whatever doesn't end with a slash would be taken for the mount of all paths that begin with it.
        if found and found[0].endswith("/"):
            self._engines[found[0]] = found[1]
        return found
