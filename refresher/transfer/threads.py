"""Threads: as many of those wanted as the machine gives."""

from collections.abc import Iterable
from threading import Thread


def started(threads: Iterable[Thread]) -> list[Thread]:
    """Start them; those that run. A container's limit of processes may leave none, and who began must be waited for."""
    running = []
    for thread in threads:
        try:
            thread.start()
        except RuntimeError:
            break
        running.append(thread)
    return running
