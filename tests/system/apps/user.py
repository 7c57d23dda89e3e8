"""The user that refresher and the app run as, as in a pod with `runAsUser`; never root."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

NOBODY = 65534


def as_user(argv: Sequence[str]) -> list[str]:
    """The command as that user; unless we are root, that is ourselves."""
    return [*_SETPRIV, *argv] if os.geteuid() == 0 else list(argv)


def as_user_of_our_packages(argv: Sequence[str]) -> list[str]:
    """The same, with the right to read what only root may: our Python may be in its home directory."""
    right = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    return [*_SETPRIV, *right, *argv] if os.geteuid() == 0 else list(argv)


def give(directory: Path) -> None:
    """Make the user the owner of all that is in it."""
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(directory)], check=True)


_SETPRIV = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
