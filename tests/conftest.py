"""The real servers, each started once per test process, on first use; and what wakes assets."""

from collections.abc import Iterator

import hypothesis
import pytest

from refresher.demo.caddy import Caddy
from refresher.demo.openbao import OpenBao
from refresher.demo.seaweed import SeaweedFS
from refresher.state import Trigger
from refresher.triggers import Triggers
from tests.servers.postgres import Postgres

# On a busy machine, a millisecond's work takes as long as it takes.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with OpenBao.started(tmp_path_factory.mktemp("bao")) as server:
        yield server


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with SeaweedFS.started(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture(scope="session")
def caddy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caddy]:
    with Caddy.started(tmp_path_factory.mktemp("caddy")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres.started() as server:
        yield server


@pytest.fixture
def woken() -> list[tuple[str, Trigger]]:
    return []


@pytest.fixture
def triggers(woken: list[tuple[str, Trigger]]) -> Iterator[Triggers]:
    made = Triggers(lambda name, trigger: woken.append((name, trigger)), seed="pod-1")
    yield made
    made.stop()
