"""What wakes assets besides the schedule: changes of the local files that they are made from."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from refresher.abilities import Watched
from refresher.keeper import Keeper


class Triggers:
    """Watches for whom it is told to, until it is stopped."""

    def __init__(self) -> None:
        self._watches: dict[tuple[Path, ...], _Watching] = {}

    def follow(self, keepers: Iterable[Keeper]) -> None:
        """Wake these keepers from now on, and no others.

        One watch for all assets with the same files and directories: the system has few to give (128 a user).
        """
        together: dict[tuple[Path, ...], list[Keeper]] = {}
        for keeper in keepers:
            together.setdefault(_watched(keeper.asset.provider), []).append(keeper)
        together.pop((), None)
        for paths in self._watches.keys() - together.keys():
            self._watches.pop(paths).stop()
        for paths, sleepers in together.items():
            if paths not in self._watches:
                self._watches[paths] = _Watching(paths)
            self._watches[paths].keepers = tuple(sleepers)

    def stop(self) -> None:
        """Wake nobody any more."""
        self.follow(())


class _Watching:
    """One watch, and whom it wakes."""

    def __init__(self, paths: Sequence[Path]) -> None:
        from refresher.watch import Watch  # who watches nothing need not load watchdog

        self.keepers: tuple[Keeper, ...] = ()
        self._watch = Watch(paths, self._look)
        self._watch.start()

    def stop(self) -> None:
        self._watch.stop()

    def _look(self) -> None:
        for keeper in self.keepers:
            keeper.look_now()


def _watched(provider: object) -> tuple[Path, ...]:
    return tuple(provider.watched) if isinstance(provider, Watched) else ()
