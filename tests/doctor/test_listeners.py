"""The two listeners: free, the sidecar's own, or somebody else's."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from refresher.abilities import Observation, Verdict
from refresher.address import Tcp, Unix
from refresher.demo.process import free_port
from refresher.doctor.listeners import control, probes
from refresher.options import Secret
from refresher.settings import Control, Probes
from tests.control.serving import served
from tests.fakes.app import App
from tests.fakes.sidecar import FakeSidecar


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("opensesame")
    return path


@pytest.fixture
def sidecar(token: Path) -> Iterator[tuple[Tcp, Tcp]]:
    """Where the two listen of one that wants a token for everything."""
    ports = Tcp("0.0.0.0", free_port()), Tcp("127.0.0.1", free_port())
    listen, probing = map(str, ports)
    with served(FakeSidecar(), listen=listen, probes=probing, token=Secret(file=token)):
        yield ports


def last(observations: Iterator[Observation]) -> Observation:
    *_, found = observations
    return found


def test_ports_that_are_free_are_well(tmp_path: Path) -> None:
    for found in (
        last(control(Control(listen=Tcp("127.0.0.1", free_port())))),
        last(control(Control(listen=Unix(tmp_path / "control.sock")))),
        last(probes(Probes(listen=Tcp("0.0.0.0", free_port())))),
    ):
        assert found.verdict is Verdict.OK
        assert found.seen.endswith("is free; no sidecar runs there")
    assert list(tmp_path.iterdir()) == []


def test_the_sidecars_own_are_well(sidecar: tuple[Tcp, Tcp], token: Path) -> None:
    listen, probing = sidecar
    for found in (
        last(control(Control(listen=listen, token=Secret(file=token)))),
        last(probes(Probes(listen=probing))),
    ):
        assert found.verdict is Verdict.OK
        assert found.seen.startswith("a sidecar answers on")


def test_another_token_than_the_sidecars_fails(sidecar: tuple[Tcp, Tcp], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("guessed")
    found = last(control(Control(listen=sidecar[0], token=Secret(file=other))))
    assert found.verdict is Verdict.FAIL
    assert "answers 401" in found.seen
    assert "guessed" not in str(found)


def test_a_token_that_cannot_be_read_fails(tmp_path: Path) -> None:
    found = last(control(Control(listen=Tcp("127.0.0.1", free_port()), token=Secret(file=tmp_path / "none"))))
    assert (found.of, found.verdict) == ("token", Verdict.FAIL)


def test_what_somebody_else_has_taken_fails() -> None:
    with App().running() as app:
        app.answering(200, b'{"hello": "world"}')
        where = Tcp("127.0.0.1", app.port)
        for found in (last(control(Control(listen=where))), last(probes(Probes(listen=where)))):
            assert found.verdict is Verdict.FAIL
            assert "something else answers" in found.seen


def test_a_port_that_is_taken_and_answers_nobody_fails() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        where = Tcp("127.0.0.1", bound.getsockname()[1])
        assert last(probes(Probes(listen=where))).verdict is Verdict.FAIL


def test_a_path_where_no_socket_can_be_made_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "none/control.sock", tmp_path / "file"):
        assert last(control(Control(listen=Unix(path)))).verdict is Verdict.FAIL


def test_what_is_off_is_skipped() -> None:
    assert last(control(Control(listen=None))).verdict is Verdict.SKIPPED
    assert last(probes(Probes(listen=None))).verdict is Verdict.SKIPPED
