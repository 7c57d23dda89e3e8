import subprocess
import sys
import tempfile
from pathlib import Path

from tests.control.serving import served
from tests.fakes.sidecar import FakeSidecar

REFUSED = 77
ASK = f"""
import os, socket, sys
os.setgroups([])
os.setuid(int(sys.argv[1]))
with socket.socket(socket.AF_UNIX) as asking:
    try:
        asking.connect(sys.argv[2])
    except PermissionError:
        sys.exit({REFUSED})
"""


def asked_by(user: int, path: Path) -> int:
    return subprocess.run([sys.executable, "-c", ASK, str(user), str(path)], timeout=60, check=False).returncode


def test_another_user_cannot_ask_on_the_unix_socket() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # the socket's own mode is what is looked at
        path = Path(directory) / "control.sock"
        with served(FakeSidecar(), listen=f"unix:{path}"):
            assert asked_by(0, path) == 0
            assert asked_by(65534, path) == REFUSED
            path.chmod(0o666)
            assert asked_by(65534, path) == 0, "it was the mode that kept it out"
