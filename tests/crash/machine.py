"""Random sequences of everything that can happen to a volume, against a model: `python -m tests.crash.machine N DIR`.

Runs in mounts of its own (`unshare --mount`), on a file system of 2 MiB that can be filled, in one thread, so that a
step can be forked and killed for real at any of the calls that Python reports to an audit hook.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from refresher import cycle, rollback
from refresher.errors import PermanentError, RefresherError, TransientError
from refresher.model import Asset, LayoutName, Publish, Result, Wish
from refresher.place import opened
from tests.crash.disks import fill, tmpfs
from tests.crash.kills import leftovers
from tests.crash.scenes import seen, told
from tests.fakes.source import App, Judge, Source, asset

CALLS = frozenset(
    {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.utime", "open"}
)
NAMES = ["lock", "ledger.json", "reserve", "incoming-1", "..1", "00000001", "00000900", "000000001"]
VOLUME = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("/nonexistent")


class Volume(RuleBasedStateMachine):
    """`visible` is what readers have to see, `pinned` whether a rollback by hand holds."""

    @initialize(layout=st.sampled_from(LayoutName), keep=st.integers(1, 3))
    def starts(self, layout: LayoutName, keep: int) -> None:
        for path in VOLUME.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        self.judge, self.app, self.serial = Judge(), App(), 0
        self.now = datetime.now(UTC)
        publish = Publish(layout=layout, keep=keep, grace=timedelta(minutes=1))
        self.web = asset(VOLUME, Source(), judge=self.judge, app=self.app, publish=publish)
        self.visible: Mapping[str, bytes] = {}
        self.pinned = False

    def clock(self) -> datetime:
        return self.now

    def fresh(self, names: set[str]) -> dict[str, bytes]:
        self.serial += 1
        wanted = sorted(names)[:1] if self.web.publish.layout is LayoutName.FILE else sorted(names)
        return {name.replace("/", "-") if len(wanted) == 1 else name: b"%d " % self.serial * 3000 for name in wanted}

    def offering(self, files: Mapping[str, bytes], **changes: Any) -> Asset:
        return replace(self.web, provider=Source(files=files, revision=f"r{self.serial}", **changes))

    names = st.sets(st.sampled_from(["a", "b", "c/d", "c/e"]), min_size=1)

    @rule(names=names)
    def publishes(self, names: set[str]) -> None:
        files = self.fresh(names)
        outcome = cycle.refresh(self.offering(files), wish=Wish.RENEW, clock=self.clock).outcome
        if outcome.result is Result.PUBLISHED:
            assert not self.pinned
            self.visible = files
        else:
            full = "full" in str(outcome.error) or "no room" in str(outcome.error)
            assert full or (self.pinned and outcome.result is Result.UNCHANGED), outcome

    @rule(names=names)
    def rejects(self, names: set[str]) -> None:
        self.judge.reason = "bad"
        outcome = cycle.refresh(self.offering(self.fresh(names)), wish=Wish.ANEW, clock=self.clock).outcome
        self.judge.reason = None
        assert outcome.result is not Result.PUBLISHED, outcome

    @rule(names=names)
    def breaks_off(self, names: set[str]) -> None:
        web = self.offering(self.fresh(names), changed_midway=True)
        assert cycle.refresh(web, wish=Wish.ANEW, clock=self.clock).outcome.result is not Result.PUBLISHED

    @rule()
    def goes_back(self) -> None:
        kept = self.kept()
        try:
            rollback.go_back(self.web, to=None, clock=self.clock)
        except (PermanentError, TransientError):
            return
        assert seen(self.web) in kept
        self.visible, self.pinned = seen(self.web), True

    @rule()
    def unpins(self) -> None:
        with self.unless_full():
            rollback.unpin(self.web)
            self.pinned = False

    @rule(minutes=st.integers(0, 3))
    def tidies(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        cycle.tidy(self.web, clock=self.clock)

    @rule()
    def tells(self) -> None:
        with self.unless_full():
            told(self.web)
        with opened(self.web) as place:
            holding = place.holding()
        if holding.current and holding.ledger.told:
            assert self.app.heard[-1].generation == holding.current.number
            assert holding.ledger.told["app:1"].generation == holding.current.number

    @rule()
    def restarts(self) -> None:
        holding = self.began()
        assert (holding.current is None) == (not self.visible)
        assert (holding.ledger.pinned is not None) == self.pinned
        assert leftovers(VOLUME) == []

    @rule(names=names, at=st.integers(1, 60))
    def is_killed_in_a_publish(self, names: set[str], at: int) -> None:
        files = self.fresh(names)
        web = self.offering(files)
        self.killed(lambda: cycle.refresh(web, wish=Wish.RENEW, clock=self.clock), at, files)

    @rule(at=st.integers(1, 40))
    def is_killed_in_a_rollback(self, at: int) -> None:
        kept = self.kept()
        self.killed(lambda: rollback.go_back(self.web, to=None, clock=self.clock), at, *kept)

    @rule(at=st.integers(1, 40))
    def is_killed_while_it_tidies(self, at: int) -> None:
        self.now += timedelta(minutes=2)
        self.killed(lambda: cycle.tidy(self.web, clock=self.clock), at)

    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from(["link", "fifo", "directory", "file"]))
    def finds_something_planted(self, name: str, kind: str) -> None:
        store = self.store() / name
        if name == "00000001" and os.path.lexists(store):
            return
        if store.is_dir() and not store.is_symlink():
            shutil.rmtree(store)
        store.unlink(missing_ok=True)
        {"link": self.plant_link, "fifo": os.mkfifo, "directory": os.mkdir, "file": Path.touch}[kind](store)
        if name == "ledger.json":
            self.pinned = False
        self.began()

    @precondition(lambda self: self.web.publish.layout is LayoutName.KUBERNETES and self.visible)
    @rule(name=st.sampled_from(["..data", "a", "b", "c"]))
    def loses_a_link(self, name: str) -> None:
        with opened(self.web) as place:
            known = place.store.ledger().shown
        if name != "..data" or known:
            (self.web.directory / name).unlink(missing_ok=True)
        self.drained()
        self.began()

    @rule(pages=st.integers(0, 20))
    def runs_full(self, pages: int) -> None:
        fill(VOLUME, but=pages * 4096)

    @rule()
    def drained(self) -> None:
        (VOLUME / "filler").unlink(missing_ok=True)

    @invariant()
    def readers_see_what_was_published_last(self) -> None:
        if hasattr(self, "web"):
            assert seen(self.web) == self.visible

    @contextmanager
    def unless_full(self) -> Iterator[None]:
        try:
            yield
        except TransientError:
            assert os.statvfs(VOLUME).f_bavail < 20

    def plant_link(self, path: Path) -> None:
        path.symlink_to("/etc/hostname")

    def store(self) -> Path:
        with opened(self.web) as place:
            return place.store.directory.path

    def kept(self) -> list[Mapping[str, bytes]]:
        """The contents of all generations that could be gone back to."""
        found = []
        with opened(self.web) as place:
            for number in place.store.numbers():
                if generation := place.store.generation(number):
                    with place.files(generation) as files:
                        found.append({name: files.open(name).readall() for name in generation.files})
        return found

    def began(self) -> cycle.Holding:
        try:
            return cycle.begin(self.web)
        except TransientError:
            # A link that somebody removed can't be made again on a full disk.
            self.drained()
            return cycle.begin(self.web)

    def killed(self, step: Callable[[], object], at: int, *wanted: Mapping[str, bytes]) -> None:
        before = self.visible
        _killed(step, at)
        holding = self.began()
        after = seen(self.web)
        assert after in (before, *wanted), after
        assert leftovers(VOLUME) == []
        self.visible, self.pinned = after, holding.ledger.pinned is not None


def _killed(step: Callable[[], object], at: int) -> None:
    """Run `step` in a fork that dies before its `at`th call, or at its end."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    left = at

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        left -= event in CALLS
        # Killing is an event too.
        if left == 0 and event in CALLS:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        step()
    except RefresherError:
        os._exit(1)
    os._exit(0)


def main(examples: int) -> None:
    tmpfs(VOLUME, "size=2m")
    chosen = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Volume, settings=chosen)


if __name__ == "__main__":
    main(int(sys.argv[1]))
