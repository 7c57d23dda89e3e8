import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_list_of_licences_is_current() -> None:
    write = runpy.run_path(str(ROOT / "docs/licences.py"))["licences"]
    assert (ROOT / "docs/licences.md").read_text() == write(), "run: python docs/licences.py"
