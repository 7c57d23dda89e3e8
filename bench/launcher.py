"""Runs a command and writes what it cost, as JSON: `python -I -S launcher.py REPORT COMMAND…`. Standard library only.

A program of its own because a process inherits the peak memory of whoever forked it (ru_maxrss, at exec): measured from
the benchmark itself, every tool would seem to need as much as the benchmark does.
"""

import json
import os
import sys
import time


def main(report: str, *argv: str) -> int:
    """Wall and CPU seconds, and KiB of the largest process, of the command and of all that it waited for."""
    began = time.monotonic()
    pid = os.posix_spawnp(argv[0], argv, os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    cost = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss}
    with open(report, "w") as file:  # noqa: PTH123 - pathlib is half of a small interpreter's start-up
        json.dump(cost, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
