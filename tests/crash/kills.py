"""Kill a step at each of its file-system calls in turn, restart, and look.

    python -m tests.crash.kills DIRECTORY LAYOUT [SCENE…] [--all]

Each kill is a fork of this process, so that Python starts once, with strace attached to the fork. strace counts the
calls of each name by itself, so each name is counted up until the step survives. Calls that only read are left out
unless `--all` asks for them. Prints one JSON object a scene.
"""

import argparse
import ctypes
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from refresher import cycle, rollback
from refresher.ledger import Holding
from refresher.model import Asset, LayoutName
from refresher.place import opened
from tests.crash.scenes import NOTHING, Scene, published, scenes, seen, told, web
from tests.fakes.source import App, Time

CHANGES = ("mkdir", "write", "fsync", "fchmod", "rename", "symlink", "link", "unlink", "utime")
"""Beginnings of names: mkdir, mkdirat; rename, renameat, renameat2; unlinkat is what removes directories."""
OPENS = ("openat",)
"""Opens files to read, mostly: a kill before that finds what a kill before the next change finds."""
SHOWN = 2000
"""Characters of what was found; a model has more."""
SET_PTRACER = 0x59616D61
ANYBODY = ctypes.c_ulong(-1)


@dataclass(frozen=True)
class Trial:
    """One layout's scene, prepared once in `template` and killed many times in `volume`."""

    layout: LayoutName
    scene: Scene
    template: Path
    volume: Path

    def prepare(self) -> None:
        self.template.mkdir(parents=True)
        self.scene.prepare(web(self.template, self.layout, App()))

    def points(self, call: str) -> int:
        """How often the step was killed at this call before it survived."""
        number = 1
        while self._killed_at(call, number):
            number += 1
        return number - 1

    def _killed_at(self, call: str, number: int) -> bool:
        shutil.rmtree(self.volume, ignore_errors=True)
        # Not shutil's copy, which would tear a hard link into two files.
        subprocess.run(["cp", "-a", self.template, self.volume], check=True)
        killed = _killed(self._step, f"/^{call}", number)
        self._look(killed=killed)
        return killed

    def _step(self) -> None:
        self.scene.step(web(self.volume, self.layout, App()), self.scene.wanted)

    def _look(self, *, killed: bool) -> None:
        app = App()
        asset = web(self.volume, self.layout, app)
        if self.scene.spoil is NOTHING:
            _expect(seen(asset) in self.scene.passing(self.layout), "before the restart", seen(asset))
        holding = cycle.begin(asset)
        allowed = [self.scene.before, self.scene.wanted] if killed else [self.scene.wanted]
        _expect(seen(asset) in allowed, "after the restart", seen(asset))
        _expect((holding.current is None) == (not seen(asset)), "what is held", holding)
        _expect_memory(asset, holding)
        if self.scene.begun is None:
            _expect(not leftovers(self.volume), "leftovers", leftovers(self.volume))
        _expect_truth_told(asset, app, holding)
        if self.scene.begun:
            self._go_on(asset)
        with opened(asset) as place:
            place.store.remember(replace(place.store.ledger(), pinned=None), fsync=False)
        published(asset, {"app.conf": b"afterwards"})
        _expect(seen(asset) == {"app.conf": b"afterwards"}, "after the next publish", seen(asset))
        _expect(not leftovers(self.volume), "leftovers of the next publish", leftovers(self.volume))

    def _go_on(self, asset: Asset) -> None:
        """The next attempt ends well, whatever the kill left of this one; and the old files can be put back."""
        self.scene.step(asset, self.scene.wanted)
        _expect(seen(asset) == self.scene.wanted, "after the next attempt", seen(asset))
        _expect(not leftovers(self.volume), "leftovers of the next attempt", leftovers(self.volume))
        rollback.go_back(asset, to=None, clock=Time())
        _expect(seen(asset) == self.scene.before, "after going back", seen(asset))


def leftovers(volume: Path) -> list[str]:
    """What nobody should find after a restart: half-staged sets, temporary names, links that lead nowhere."""
    known = {"..data", "..refresher", "..web"}
    found = list(volume.rglob("*"))
    names = [path for path in found if path.name.startswith(("incoming-", "..")) and path.name not in known]
    return [str(path) for path in (*names, *(path for path in found if path.is_symlink() and not path.exists()))]


def _expect_memory(asset: Asset, holding: Holding) -> None:
    with opened(asset) as place:
        found = place.holding()
    _expect(found == holding, "what the volume says", found)
    _expect(found.ledger.pinned in {None, found.current and found.current.number}, "the pin", found)


def _expect_truth_told(asset: Asset, app: App, holding: Holding) -> None:
    known = holding.ledger.told.get("app:1")
    told(asset)
    heard = [change.generation for change in app.heard] or [known.generation if known else None]
    _expect(heard == [holding.current and holding.current.number], "what the app knows", heard)


def _expect(true: bool, what: str, found: object) -> None:
    if not true:
        raise AssertionError(f"{what}: {str(found)[:SHOWN]}")


def _killed(step: Callable[[], None], call: str, number: int) -> bool:
    """Run `step` in a fork of this process under strace; whether it was killed."""
    start, go = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(_started(step, start, go))
    os.close(start)
    inject = f"inject={call}:signal=SIGKILL:when={number}"
    argv = ["strace", "-f", "-q", "-e", f"trace={call}", "-e", inject, "-o", "/dev/null", "-p", str(child)]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as strace:
        _await_tracer(child, strace)
        os.write(go, b"x")
        os.close(go)
        _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        _expect(os.WTERMSIG(status) == signal.SIGKILL, "the signal", status)
        return True
    _expect(os.WEXITSTATUS(status) == 0, "the step failed with", status)
    return False


def _started(step: Callable[[], None], start: int, go: int) -> int:
    os.close(go)
    # For kernels where only an ancestor may trace: strace is a sibling.
    ctypes.CDLL(None).prctl(SET_PTRACER, ANYBODY, 0, 0, 0)
    os.read(start, 1)
    step()
    return 0


def _await_tracer(pid: int, strace: subprocess.Popen[bytes]) -> None:
    status = Path(f"/proc/{pid}/status")
    while "TracerPid:\t0" in status.read_text():
        _expect(strace.poll() is None, "strace ended with", strace.returncode)
        os.sched_yield()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("layout", type=LayoutName)
    parser.add_argument("scenes", nargs="*")
    parser.add_argument("--all", action="store_true")
    asked = parser.parse_args()
    for name, scene in scenes(asked.layout).items():
        if asked.scenes and name not in asked.scenes:
            continue
        trial = Trial(asked.layout, scene, asked.root / name, asked.root / f"{name}-tried")
        trial.prepare()
        points = {call: trial.points(call) for call in (*CHANGES, *(OPENS if asked.all else ()))}
        print(
            json.dumps({"layout": asked.layout, "scene": name, "killed": sum(points.values()), "at": points}),
            flush=True,
        )


if __name__ == "__main__":
    main()
