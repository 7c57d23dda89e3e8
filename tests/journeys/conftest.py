"""What the journeys are about, made fresh for each test on the servers that all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from refresher.demo.openbao import OpenBao
from tests.fakes.app import App
from tests.journeys.pki import Pki


@pytest.fixture
def pki(bao: OpenBao, tmp_path: Path) -> Pki:
    return Pki(bao, tmp_path)


@pytest.fixture
def app() -> Iterator[App]:
    with App().running() as running:
        yield running
