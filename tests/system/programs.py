"""Programs of Debian's, which `tests/system/install.sh` installs."""

import shutil


def debian(name: str) -> str:
    """Its path. Fails the test if it isn't installed."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin")
    assert found is not None, f"{name} is missing: tests/system/install.sh"
    return found
