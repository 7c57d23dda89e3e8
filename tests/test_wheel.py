"""What is installed from the wheel is what is in the repository."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parent.parent
PACKAGES = ("refresher", "providers")


def test_every_file_of_the_packages_is_in_the_wheel(tmp_path: Path) -> None:
    copy = tmp_path / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*argv, "--wheel-dir", str(tmp_path), str(copy)], check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    there = {name for name in ZipFile(wheel).namelist() if name.startswith(PACKAGES)}
    ours = {str(path.relative_to(ROOT)) for each in PACKAGES for path in (ROOT / each).rglob("*") if path.is_file()}
    assert {name for name in ours if "__pycache__" not in name} - there == set()
    assert "refresher/control/page/page.js" in there
