"""The whole matrix, with its figures: every scene of every layout killed at every call, opens included."""

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from refresher.model import LayoutName


def killed(layout: LayoutName) -> int:
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "tests.crash.kills", root, layout, "--all"]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(ran.stdout, end="", flush=True)
    return sum(json.loads(line)["killed"] for line in ran.stdout.splitlines())


def main() -> None:
    with ThreadPoolExecutor(2) as pool:
        print(f"killed {sum(pool.map(killed, LayoutName))} times, and each time the old set or the new one was whole")


if __name__ == "__main__":
    main()
