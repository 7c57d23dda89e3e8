from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Asked, Repository, git_server, served


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    found = Repository(tmp_path / "settings.git")
    yield found
    found.repo.close()


@pytest.fixture
def url(repository: Repository, asked: Asked) -> Iterator[str]:
    with served(git_server(repository, asked)) as address:
        yield f"{address}/settings.git"
