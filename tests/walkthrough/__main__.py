"""`python -m tests.walkthrough [--skip COMMAND] PAGE…`: each page's steps, in a clone of HEAD and with a fresh HOME.

A step fails if one of its commands does, or prints something else than the page shows; numbers and serials may differ.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.walkthrough.page import Step, as_shown, steps_of
from tests.walkthrough.terminal import Busy, Failed, Shell

ROOT = Path(__file__).parents[2]
PACE = 2
"""Seconds that a reader takes from one block to the next, at the least."""
KEPT = ("LANG", "LC_ALL", "PATH", "PYTHON")
"""What somebody new has in their environment, too; besides how packages are found here."""


def main() -> int:
    """Exit code 1 if a page is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.walkthrough", description=__doc__)
    parser.add_argument("pages", nargs="+", metavar="PAGE", help="followed from its own directory")
    parser.add_argument("--skip", action="append", default=[], metavar="COMMAND", help="a command that is left out")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="refresher-walkthrough-") as directory:
        checkout, home = Path(directory) / "refresher", Path(directory) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
        try:
            for page in asked.pages:
                follow(checkout / page, home, skipped=asked.skip)
        except Failed as failed:
            print(failed, file=sys.stderr)
            return 1
    return 0


def follow(page: Path, home: Path, *, skipped: Sequence[str]) -> None:
    """Do what a page says, in its directory. Raises Failed."""
    log = home / f"{page.parent.name}-{page.stem}.log"
    environment = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("PIP_")}
    environment["HOME"] = str(home)
    steps, began = list(steps_of(page)), time.monotonic()
    if not steps:
        raise Failed(f"{page}: there is nothing to follow")
    with ExitStack() as terminals:
        shell = terminals.enter_context(Shell(page.parent, environment, log))
        for step in steps:
            time.sleep(PACE)
            try:
                if step.terminal:
                    terminals.enter_context(Busy(step.commands, page.parent, environment, log))
                else:
                    _try(step, shell, skipped)
            except Failed as failed:
                raise Failed(f"{page}:{step.line}: {failed}\n{log.read_text()[-3000:]}") from None
    print(
        f"{page.relative_to(home.parent)}: {len(steps)} steps followed in {time.monotonic() - began:.0f} s", flush=True
    )


def _try(step: Step, shell: Shell, skipped: Sequence[str]) -> None:
    lines = [line for line in step.commands.splitlines() if not any(line.startswith(each) for each in skipped)]
    said = shell.run("\n".join(lines))
    if step.answer is not None and not as_shown(said, step.answer):
        raise Failed(f"{step.commands}\nThe page shows:\n{step.answer}\n\nIt printed:\n{said}")


if __name__ == "__main__":
    sys.exit(main())
