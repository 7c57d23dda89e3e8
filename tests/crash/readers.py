"""A reader of a published directory that never rests: `python -m tests.crash.readers HOW ROOT NAME…`.

It says that it begins, and reads until its standard input ends; then it prints what it saw as JSON: rounds, and how
many of them were torn (a file partial or of two generations), mixed (files of two generations), missing (a file wasn't
there).
"""

import json
import os
import select
import sys
from collections import Counter
from collections.abc import Callable

LINES = 400
BEGUN = "reading"


def content(number: int) -> bytes:
    """What each file of a generation holds, so that a reader can tell if it's whole, and of which generation."""
    return b"%06d\n" % number * LINES


def generation(found: bytes) -> int | None:
    """Which generation's content this is; None if it isn't the whole of one."""
    return int(found[:6]) if found[:6].isdigit() and found == content(int(found[:6])) else None


def by_path(root: str, names: list[str]) -> list[bytes]:
    return [_read(f"{root}/{name}", None) for name in names]


def by_data(root: str, names: list[str]) -> list[bytes]:
    """Follow the one link once, and stay there."""
    return by_directory(f"{root}/..data", names)


def by_directory(root: str, names: list[str]) -> list[bytes]:
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return [_read(name, directory) for name in names]
    finally:
        os.close(directory)


def by_version(root: str, names: list[str]) -> list[bytes]:
    """As TensorFlow Serving does: the highest number counts."""
    newest = max(int(name) for name in os.listdir(root) if name.isdigit())
    return by_directory(f"{root}/{newest}", names)


HOW: dict[str, Callable[[str, list[str]], list[bytes]]] = {
    "path": by_path,
    "data": by_data,
    "directory": by_directory,
    "version": by_version,
}


def _read(path: str, directory: int | None) -> bytes:
    fd = os.open(path, os.O_RDONLY, dir_fd=directory)
    try:
        # In pieces, so that a file that changes in between would show it.
        return b"".join(iter(lambda: os.read(fd, 1024), b""))
    finally:
        os.close(fd)


def main(how: str, root: str, *names: str) -> None:
    seen: Counter[str] = Counter(rounds=0, torn=0, mixed=0, missing=0)
    generations = set()
    print(BEGUN, flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        seen["rounds"] += 1
        try:
            found = [generation(one) for one in HOW[how](root, list(names))]
        except FileNotFoundError:
            seen["missing"] += 1
            continue
        seen["torn"] += None in found
        seen["mixed"] += len(set(found)) > 1
        generations |= set(found)
    print(json.dumps({**seen, "generations": len(generations)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
