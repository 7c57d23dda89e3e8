"""What a user can't look into: it is named, and nobody's bug."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from refresher.abilities import Observation, Verdict
from refresher.address import Unix
from refresher.doctor.files import files
from refresher.doctor.listeners import control
from refresher.doctor.volume import volume
from refresher.foresight import foreseen
from refresher.settings import Control
from refresher.settings.read import read
from tests.fakes.source import Source, asset

NOBODY = 65534
"""Whoever asks if the tests are run by root, to whom nothing is closed."""


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory that nobody can look into while the test runs."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "closed"
        (directory / "shared").mkdir(parents=True)
        (directory / "roots.pem").touch()
        directory.chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(NOBODY)
        yield directory
        os.seteuid(user)
        directory.chmod(0o700)


def only(observations: Iterator[Observation]) -> Observation:
    (found,) = observations
    assert found.verdict is Verdict.FAIL
    return found


def test_a_certificate_there_cannot_be_looked_at(closed: Path) -> None:
    source = {"http": {"url": "http://127.0.0.1/x", "ca_file": str(closed / "roots.pem")}}
    settings = read({"assets": {"web": {"source": source}}}, {})
    assert only(files(settings.assets["web"])).seen == f"{closed / 'roots.pem'} can't be looked at by this user"


def test_a_volume_there_is_no_directory_for_this_user(closed: Path) -> None:
    web = asset(closed / "shared", Source())
    assert only(volume(web)).seen.endswith("is there, or this user can't look into one above it")
    assert foreseen([web]) == [f"{closed / 'shared'} is not here, so nothing can be said about what is in it"]


def test_no_socket_can_be_made_there(closed: Path) -> None:
    found = only(control(Control(listen=Unix(closed / "control.sock"))))
    assert found.seen == f"no socket can be made in {closed}"
