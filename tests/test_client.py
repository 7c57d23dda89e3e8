"""What the commands that ask a sidecar make of whatever answers in its place."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from refresher.client import Client, UnreachableError, documents
from tests.fakes.raw_server import raw_server
from tests.journeys.sidecar import Sidecar

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def answering(*, once: bytes = b"", then_for_ever: bytes = b"") -> Iterator[str]:
    """The address of something that answers with these bytes, and goes on with others, one by one."""
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(once)
        while then_for_ever and not over.wait(0.01):
            connection.sendall(then_for_ever)

    with raw_server(answer) as address:
        yield address.removeprefix("http://")
        over.set()


@pytest.mark.parametrize(
    ("once", "then"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (HEAD + b"Content-Length: 1000000\r\n\r\n[", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (HEAD + b"\r\n", b" "),
    ],
)
def test_an_answer_that_never_ends_is_left_in_time(once: bytes, then: bytes) -> None:
    began = time.monotonic()
    late = r"within 0\.3 s|timed out"  # the latter is the socket's own word, which comes first if the watch is late
    with answering(once=once, then_for_ever=then) as address, pytest.raises(UnreachableError, match=late):
        Client(address).post("/refresh", timeout=0.3)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("body", [b"[" * 200_000, b"<html>", b"\xff", b"9" * 5000, b""])
def test_an_answer_that_is_no_document_is_nobody(body: bytes) -> None:
    length = f"Content-Length: {len(body)}\r\n\r\n".encode()
    with answering(once=HEAD + length + body) as address, pytest.raises(UnreachableError):
        Client(address).get("/assets")


@pytest.mark.parametrize("answer", [None, 1, [], {}, {"assets": 1}, {"assets": [1]}, {"assets": [{"asset": "web"}]}])
def test_what_no_sidecar_answers_is_no_assets_documents(answer: object) -> None:
    assert documents(answer) is None


def test_whoever_answers_instead_does_not_steer_the_terminal(tmp_path: Path) -> None:
    with answering(once=b"\x1b[2J\x1b]0;owned\x07 not HTTP\r\n\r\n") as address:
        sidecar = Sidecar(tmp_path, {"control": {"listen": address}, "assets": {"a": {"source": "file:///none"}}}, {})
        ended = sidecar.command("status")
    assert ended.returncode == 3
    assert "no sidecar answers" in ended.stderr
    assert "\x1b" not in ended.stderr


def test_a_problem_is_told_without_steering_the_terminal(tmp_path: Path) -> None:
    problem = rb'{"title": "Conflict", "detail": "it says \u001b[2J"}'
    answer = b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n%s" % (len(problem), problem)
    with answering(once=answer) as address:
        sidecar = Sidecar(tmp_path, {"control": {"listen": address}, "assets": {"a": {"source": "file:///none"}}}, {})
        for words in (("refresh",), ("rollback", "a"), ("status",)):
            ended = sidecar.command(*words)
            assert (ended.returncode, ended.stderr) == (1, "it says  [2J\n")
