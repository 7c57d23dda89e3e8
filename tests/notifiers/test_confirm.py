"""Confirming what was told otherwise than by HTTP, and where TLS has to be asked for; the rest is in test_http."""

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from refresher.contract import Notifier
from refresher.errors import RejectedError, TransientError
from refresher.notifiers.command import CommandNotifier, CommandOptions
from refresher.notifiers.confirm import ConfirmOptions, confirm
from refresher.notifiers.marker import MarkerNotifier, MarkerOptions
from refresher.notifiers.signal import SignalNotifier, SignalOptions
from tests.fakes.app import App
from tests.fakes.changes import change
from tests.fakes.raw_server import raw_server
from tests.notifiers.test_http import authority, is_unconfirmed, leaf, published, server_context
from tests.waiting import in_time


@pytest.fixture
def app() -> Iterator[App]:
    with App().running() as running:
        yield running


@pytest.fixture
def process() -> Iterator[str]:
    """A pattern that fits one process, which goes on when it is told."""
    token = uuid4().hex
    with subprocess.Popen(["sh", "-c", "while :; do sleep 1; done", token]) as child:
        yield f"*{token}"
        child.kill()


def looking(app: App, **options: object) -> dict[str, object]:
    return {"http": {"url": app.url, "contains": "generation {{generation}}"}, **options}


def notifiers(app: App, process: str, directory: Path, **options: object) -> list[Notifier]:
    """One of each that tells without HTTP."""
    look = {"confirm": looking(app, **options)}
    return [
        SignalNotifier(SignalOptions.model_validate({"signal": "WINCH", "process": process, **look})),
        CommandNotifier(CommandOptions.model_validate({"argv": ["true"], **look})),
        MarkerNotifier(MarkerOptions.model_validate({"path": directory / "told.json", **look})),
    ]


def test_an_app_that_shows_what_it_was_told_of_has_heard(app: App, process: str, tmp_path: Path) -> None:
    app.answering(200, b"generation 7")
    for number, notifier in enumerate(notifiers(app, process, tmp_path, timeout="60s"), 1):
        notifier.notify(change())
        assert len(app.heard) == number


def test_an_app_that_was_told_and_shows_nothing_new_has_not_heard(app: App, process: str, tmp_path: Path) -> None:
    app.answering(200, b"generation 6")
    for notifier in notifiers(app, process, tmp_path, timeout="50ms"):
        with pytest.raises(TransientError, match=r"not confirmed within 0\.05 s"):
            notifier.notify(change())


def test_a_command_that_refuses_is_not_confirmed(app: App) -> None:
    told = CommandNotifier(CommandOptions.model_validate({"argv": ["sh", "-c", "exit 65"], "confirm": looking(app)}))
    with pytest.raises(RejectedError):
        told.notify(change())
    assert app.heard == []


@contextlib.contextmanager
def postgres_like(answer: bytes, context: ssl.SSLContext) -> Iterator[tuple[int, list[bytes]]]:
    """A port where TLS begins after a request, as PostgreSQL has it, and what was asked there."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with contextlib.suppress(OSError), connection:
                        asked.append(connection.recv(100))
                        connection.sendall(answer)
                        context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], asked
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def confirming(port: int, **more: object) -> ConfirmOptions:
    return ConfirmOptions.model_validate({"tls": f"127.0.0.1:{port}", "starttls": "postgres", "timeout": "60s", **more})


def test_a_server_that_wants_to_be_asked_for_tls_is_asked(tmp_path: Path) -> None:
    new = leaf(authority(), "db.example.com")
    with postgres_like(b"S", server_context(tmp_path, new)) as (port, asked):
        confirm(confirming(port), change(published(tmp_path, new)))
    assert asked == [bytes.fromhex("0000000804d2162f")]


def test_a_server_that_has_no_tls_is_unconfirmed(tmp_path: Path) -> None:
    new = leaf(authority(), "db.example.com")
    with postgres_like(b"N", server_context(tmp_path, new)) as (port, _):
        asks = partial(confirm, confirming(port, timeout="50ms"), change(published(tmp_path, new)))
        assert in_time(lambda: is_unconfirmed(asks, "does not show a certificate: Protocol not supported"))


@pytest.mark.parametrize("drips", [b"", b"S", b"SS", b"S\x16\x03\x03\x3f\xff"])
def test_a_server_that_drips_is_left_in_time(tmp_path: Path, drips: bytes) -> None:
    new, over = leaf(authority(), "db.example.com"), threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(drips)
        while not over.wait(0.02):
            if drips[1:]:
                connection.sendall(b"\0")

    began = time.monotonic()
    with raw_server(drip) as address:
        options = confirming(int(address.rpartition(":")[2]), timeout="300ms")
        with pytest.raises(TransientError, match=r"not confirmed within 0\.3 s"):
            confirm(options, change(published(tmp_path, new)))
    over.set()
    assert time.monotonic() - began < 20


def test_asking_for_tls_needs_an_address_to_ask(app: App) -> None:
    with pytest.raises(ValidationError, match="starttls only with tls"):
        ConfirmOptions.model_validate({**looking(app), "starttls": "postgres"})
