"""What wakes assets besides the schedule and the local API.

A change of the local files that they are made from, their source's word that it has something else, a trigger file
that the app makes, and a signal.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from refresher import able
from refresher.abilities import Following
from refresher.keeper import Keeper
from refresher.model import Outcome
from refresher.ratelimit import of_wishes
from refresher.state import Trigger

if TYPE_CHECKING:  # loaded by those who have one
    from refresher.follower import Follower
    from refresher.trigger_file import TriggerFile

Woken = Callable[[str, Trigger], None]
"""Told of each asset that was woken, by its name, and by what."""


class Watching(NamedTuple):
    """Files and directories, and whether what is below the directories counts."""

    paths: tuple[Path, ...]
    below: bool = True


class Triggers:
    """Wakes the keepers that it is given, until it is stopped. `seed` names the pod."""

    def __init__(self, woken: Woken, *, seed: str) -> None:
        self._woken, self._seed = woken, seed
        self._keepers: tuple[Keeper, ...] = ()
        self._watches: dict[Watching, _Shared] = {}
        self._followers: dict[tuple[Keeper, str], Follower] = {}
        self._files: dict[tuple[Path, Path], TriggerFile] = {}
        self._limit = of_wishes()

    def change(self, keepers: Iterable[Keeper]) -> None:
        """Wake these keepers from now on, and no others."""
        self._keepers = tuple(keepers)
        self._keep_followers()
        self._keep_files()
        self._keep_watches()

    def stop(self) -> None:
        """Wake nobody any more."""
        self.change(())

    def ask_all(self) -> None:
        """Ask for a refresh of every asset, because of a signal; who asks too often waits."""
        time.sleep(self._limit.wait(""))
        self._limit.spend("")
        self._asked(self._keepers, Trigger.SIGNAL)

    def _keep_followers(self) -> None:
        wanted = {
            (keeper, name): source
            for keeper in self._keepers
            for name, source in able.followed(keeper.asset.provider).items()
        }
        for key in self._followers.keys() - wanted.keys():
            self._followers.pop(key).stop()
        for key in wanted.keys() - self._followers.keys():
            self._followers[key] = self._follower(*key, wanted[key])
            self._followers[key].start()

    def _keep_files(self) -> None:
        wanted = _trigger_files(self._keepers)
        for key in self._files.keys() - wanted:
            self._files.pop(key).stop()
        for path, root in wanted - self._files.keys():
            self._files[path, root] = self._file(path, root)

    def _keep_watches(self) -> None:
        """One watch for all who want the same files and directories: each has threads of its own."""
        together: dict[Watching, list[Callable[[], None]]] = {}
        for keeper in self._keepers:
            watched = Watching(tuple(able.watched(keeper.asset.provider)))
            together.setdefault(watched, []).append(partial(self._look, keeper, Trigger.FILE))
        together.pop(Watching(()), None)
        for file in self._files.values():
            # Not what is below: that may be the whole volume.
            together.setdefault(Watching((file.path.parent,), below=False), []).append(file.look)
        for watched in self._watches.keys() - together.keys():
            self._watches.pop(watched).stop()
        for watched, changed in together.items():
            if watched not in self._watches:
                self._watches[watched] = _Shared(watched)
            self._watches[watched].changed = tuple(changed)
        # Only now: what is there when a watch begins is no change to it.
        for file in self._files.values():
            file.look()

    def _follower(self, keeper: Keeper, name: str, source: Following) -> "Follower":
        from refresher.follower import Follower

        look = partial(self._look, keeper, Trigger.SOURCE)
        return Follower(
            keeper.asset, source, name=name, waits=keeper.waits, look=look, state=keeper.state, seed=self._seed
        )

    def _file(self, path: Path, root: Path) -> "TriggerFile":
        from refresher.trigger_file import TriggerFile

        return TriggerFile(path, partial(self._asked_by_file, path), root=root)

    def _look(self, keeper: Keeper, trigger: Trigger) -> None:
        self._woken(keeper.asset.name, trigger)
        keeper.look_now()

    def _asked_by_file(self, path: Path) -> Sequence[Future[Outcome]]:
        return self._asked([each for each in self._keepers if each.asset.refresh.trigger == path], Trigger.APP)

    def _asked(self, keepers: Iterable[Keeper], trigger: Trigger) -> Sequence[Future[Outcome]]:
        asked = []
        for keeper in keepers:
            self._woken(keeper.asset.name, trigger)
            asked.append(keeper.request().visible)
        return asked


class _Shared:
    """One watch, and what it calls."""

    def __init__(self, watched: Watching) -> None:
        from refresher.watch import Watch  # who watches nothing need not load watchdog

        self.changed: tuple[Callable[[], None], ...] = ()
        self._watch = Watch(watched.paths, self._tell, below=watched.below)
        self._watch.start()

    def stop(self) -> None:
        self._watch.stop()

    def _tell(self) -> None:
        for changed in self.changed:
            changed()


def _trigger_files(keepers: Iterable[Keeper]) -> set[tuple[Path, Path]]:
    """Each with the directory above it whose own path is the operator's: below the volume, links aren't trusted."""
    wanted = ((keeper.asset.refresh.trigger, keeper.asset.volume) for keeper in keepers)
    return {(path, volume if volume in path.parents else path.parent) for path, volume in wanted if path}
