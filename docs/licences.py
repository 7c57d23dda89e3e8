"""Writes docs/licences.md: the licence of every package that a sidecar is installed with, from its own metadata.

After `make .venv/.system`, from the repository's root: `.venv/bin/python docs/licences.py`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAD = """\
# Licences

What `requirements.lock` installs beside refresher (Apache-2.0), by the packages' own metadata; written by
`docs/licences.py`.

| package | version | licence |
| --- | --- | --- |
"""


def licences() -> str:
    """The page."""
    names = re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements.lock").read_text(), flags=re.M)
    program = str(Path(sys.executable).with_name("pip-licenses"))
    argv = [program, "--format", "json", "--from", "mixed", "--packages", *names]
    packages = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    found = {re.sub("[-_.]+", "-", each["Name"]).lower(): (each["Version"], each["License"]) for each in packages}
    return HEAD + "".join(f"| {name} | {found[name][0]} | {found[name][1]} |\n" for name in names)


if __name__ == "__main__":
    (ROOT / "docs/licences.md").write_text(licences())
