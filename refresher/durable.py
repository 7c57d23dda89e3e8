"""Durable: what was staged is on the disk, all of it, before anything leads to it."""

import os
from collections import deque
from threading import Thread

from refresher.transfer.threads import started
from refresher.volume import Directory, explained

MANY = 16
"""Files from which on it is worth while to wait for the disk in several threads."""
THREADS = 4


def make_durable(directory: Directory) -> None:
    """Step 2 of publishing: fsync every file below, then the directories. Raises TransientError or PermanentError."""
    with explained(directory.path):
        _fsync_tree(directory)


def _fsync_tree(directory: Directory) -> None:
    files = []
    for name in directory.names():
        if directory.is_directory(name):
            with directory.child(name) as child:
                _fsync_tree(child)
        else:
            files.append(name)
    _fsync_files(files, directory)
    directory.fsync()


def _fsync_files(names: list[str], directory: Directory) -> None:
    if len(names) < MANY:
        for name in names:
            _fsync_file(name, directory)
    else:
        _fsync_side_by_side(deque(names), directory)


def _fsync_side_by_side(names: deque[str], directory: Directory) -> None:
    """Each waits for the disk: together they wait once, more or less.

    In daemon threads: those of `concurrent.futures` are joined when the interpreter exits, and a slow disk would hold
    up SIGTERM.
    """
    errors: list[Exception] = []

    def work() -> None:
        try:
            while names and not errors:
                _fsync_file(names.popleft(), directory)
        except IndexError:
            pass  # another one took the last
        except Exception as error:  # noqa: BLE001 - whoever waits for all gets it
            errors.append(error)

    others = started(Thread(target=work, name="fsync", daemon=True) for _ in range(THREADS - 1))
    work()
    for thread in others:
        thread.join()
    if errors:
        raise errors[0]


def _fsync_file(name: str, directory: Directory) -> None:
    with directory.open(name) as file:
        os.fsync(file.fileno())
