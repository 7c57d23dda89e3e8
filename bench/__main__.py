"""`python -m bench [values|transfers]`: refresher beside its peers, all in one run. Ends with 0 whatever it finds."""

import argparse
import tempfile
from dataclasses import fields, replace
from pathlib import Path

from bench import transfers, values
from refresher.options import parse_size

PARTS = ("values", "transfers")


def main() -> None:
    """Measure the parts that were asked for, all if none was; print their tables."""
    asked = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="refresher-bench-", dir=asked.directory) as temporary:
        for part in [asked.part] if asked.part else PARTS:
            directory = Path(temporary) / part
            directory.mkdir()
            if part == "values":
                values.values(directory, values.QUICK if asked.quick else values.Effort())
            else:
                transfers.transfers(directory, _sizes(asked))
            print()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", nargs="?", choices=PARTS, help="only this part")
    parser.add_argument("--quick", action="store_true", help="a fast look: less of everything, and small files")
    parser.add_argument("--directory", type=Path, help="on the disk to measure; else where temporary files are")
    sizes = parser.add_argument_group("transfers")
    sizes.add_argument("--big", type=parse_size, help="the big file, 2GiB")
    sizes.add_argument("--medium-files", type=int, help="files of a good size, 32")
    sizes.add_argument("--medium", type=parse_size, help="each of them, 64MiB")
    sizes.add_argument("--small-files", type=int, help="files of 16 KiB, 1000")
    sizes.add_argument("--rounds", type=int, help="how often each tool runs, 3")
    sizes.add_argument("--certificates", type=int, help="refreshes during a download, 20")
    return parser


def _sizes(asked: argparse.Namespace) -> transfers.Sizes:
    """What was asked for, the rest as in a quick or a whole run."""
    given = {size.name: getattr(asked, size.name) for size in fields(transfers.Sizes)}
    given = {name: size for name, size in given.items() if size is not None}
    return replace(transfers.QUICK if asked.quick else transfers.Sizes(), **given)


if __name__ == "__main__":
    main()
