import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def directory() -> Iterator[Path]:
    """The pod's: pytest's own are below one that only we may enter, and another user runs the app."""
    with tempfile.TemporaryDirectory(prefix="refresher-app-") as name:
        yield Path(name)
