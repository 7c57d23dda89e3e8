"""Every line that a real sidecar writes, through all the trouble there is, is one that the documentation describes."""

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from refresher.demo.openbao import OpenBao
from refresher.demo.process import free_port
from refresher.demo.seaweed import SeaweedFS
from tests.fakes.app import App
from tests.fakes.fault_proxy import FaultProxy, fault_proxy
from tests.fakes.raw_server import raw_server
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar
from tests.journeys.terminal import on_terminal
from tests.test_docs import documented_keys
from tests.waiting import until

CANARY = f"hunter2-{uuid4().hex}"
FORGED = (
    '"}\r\n{"time": "2026-11-22T09:00:00.000Z", "level": "info", "message": "forged", "forged": true}\n'
    "2026-11-22T09:00:00.000Z INFO    forged\x1b[2J\u2028\u0085\u202e"
)
TYPES = {
    "text": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "moment": lambda value: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", value) is not None,
}


def forging(connection: socket.socket) -> None:
    """A web server whose status, headers and body are all meant for the log."""
    once = FORGED.replace("\r", " ").replace("\n", " ")
    connection.sendall(f"HTTP/1.1 500 {once}\r\nETag: {once}\r\nContent-Length: 9\r\n\r\n{FORGED}".encode())


def tagging(connection: socket.socket) -> None:
    """A web server that has a file, of a revision that is meant for the log."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "a\x1b[2J\x9b2J  result=failed"\r\nContent-Length: 4\r\n\r\nfile')


def configuration(
    bao: OpenBao, proxy: FaultProxy, seaweed: SeaweedFS, app: App, forgers: Sequence[str], pki: Pki
) -> dict[str, Any]:
    vault = {"address": proxy.address, "auth": {"token": {"env": "TEST_TOKEN"}}}
    secret = {"vault": {**vault, "path": f"{pki.mount}-kv/db"}}
    s3 = {"bucket": "none", "key": "none", "endpoint_url": seaweed.endpoint_url, "region": "us-east-1"}
    telling = [{"http": {"url": f"{app.url}/refuse"}}, {"http": {"url": f"http://127.0.0.1:{free_port()}/gone"}}]
    assets = {
        "web": pki.asset(ttl="6s", notify=[{"http": {"url": f"{app.url}/well"}}]),
        "db": {"source": secret, "refresh": {"every": "1s"}, "notify": telling},
        "not-json": {
            "source": {"vault": {**secret["vault"], "file": "x.json", "format": "raw", "fields": ["password"]}},
            "verify": [{"document": {"format": "json"}}],
            "refresh": {"every": "1s"},
        },
        "forger": {"source": {"http": {"url": f"{forgers[0]}/x?token={CANARY}"}}, "refresh": {"every": "1s"}},
        "tagged": {"source": {"http": {"url": f"{forgers[1]}/x"}}},
        "gone": {"source": {"http": {"url": f"http://127.0.0.1:{free_port()}/x", "token": {"env": "TEST_CANARY"}}}},
        "s3": {"source": {"s3": s3}},
        "no-right": {"source": {"vault": {**vault, "auth": {"token": {"env": "TEST_CANARY"}}, "path": "sys/none"}}},
    }
    return pki.configuration() | {"assets": assets}


@contextmanager
def troubled(directory: Path, bao: OpenBao, seaweed: SeaweedFS) -> Iterator[tuple[Sidecar, FaultProxy]]:
    """A sidecar, not started yet; and the proxy before its vault."""
    pki = Pki(bao, directory)
    bao.kv(f"{pki.mount}-kv", 2)
    bao.write(f"{pki.mount}-kv/data/db", {"data": {"password": CANARY}})

    def answers(heard: Any) -> tuple[int, dict[str, str], bytes]:
        return (409 if heard.path == "/refuse" else 200), {}, FORGED.encode()

    with (
        App(answers).running() as app,
        fault_proxy(bao.address) as proxy,
        raw_server(forging) as forger,
        raw_server(tagging) as tagger,
    ):
        given = configuration(bao, proxy, seaweed, app, (forger, tagger), pki)
        aws = {"AWS_ACCESS_KEY_ID": seaweed.access_key, "AWS_SECRET_ACCESS_KEY": CANARY}
        environment = {"TEST_TOKEN": bao.token, "TEST_CANARY": CANARY, **aws}
        yield Sidecar(directory, given, environment), proxy


def through_all_of_it(sidecar: Sidecar, proxy: FaultProxy) -> None:
    """A vault that goes and comes back, and requests that are none."""
    for asset in ("web", "db", "tagged"):
        until(lambda asset=asset: sidecar.state(asset)["generation"], within=60)
    proxy.away()
    with socket.create_connection(("127.0.0.1", sidecar.port)) as rubbish:
        rubbish.sendall(b"GET\x1b[2J\r\n" + CANARY.encode() + b"\r\n\r\n")
        rubbish.recv(65536)
    until(lambda: sidecar.state("db")["consecutive_failures"] > 2, within=60)
    proxy.back()
    until(lambda: not sidecar.state("db")["consecutive_failures"], within=60)
    until(lambda: (sidecar.state("web")["generation"] or 0) > 2, within=60)
    until(lambda: sidecar.state("forger")["consecutive_failures"] > 4, within=60)


def test_every_line_is_as_documented_and_has_no_secret(tmp_path: Path, bao: OpenBao, seaweed: SeaweedFS) -> None:
    keys = documented_keys()
    with troubled(tmp_path, bao, seaweed) as (sidecar, proxy):
        sidecar.start()
        try:
            through_all_of_it(sidecar, proxy)
        finally:
            sidecar.stop()
    text = sidecar.logged()
    assert CANARY not in text
    assert bao.token not in text
    assert text.isascii()
    lines = sidecar.logged_lines()
    for line in lines:
        assert {"time", "level", "message"} <= set(line) <= set(keys), line
        assert all(TYPES[keys[name]](value) for name, value in line.items()), line
    seen = {(line.get("step"), line.get("result")) for line in lines}
    assert seen >= {
        (None, "published"),
        (None, "unchanged"),
        ("fetch", "failed"),
        ("verify", "rejected"),
        ("notify", "told"),
        ("notify", "failed"),
        ("notify", "rejected"),
    }
    ended = [line for line in lines if "failing_for" in line and line.get("asset") == "db"]
    assert [line["failures"] > 2 for line in ended] == [True]
    assert any("left_out" in line for line in lines)


def test_nobody_can_write_a_line_on_a_terminal(tmp_path: Path, bao: OpenBao, seaweed: SeaweedFS) -> None:
    with troubled(tmp_path, bao, seaweed) as (sidecar, proxy):
        argv = ("-m", "refresher", "run", "-c", str(sidecar.config))
        with on_terminal(*argv, environment=sidecar.environment_of_process()) as terminal:
            sidecar.process = terminal.process
            until(sidecar.answers, within=60)
            through_all_of_it(sidecar, proxy)
            terminal.process.terminate()
            assert terminal.ended() == 0
    assert CANARY not in terminal.written
    lines = terminal.written.removesuffix("\r\n").split("\r\n")
    begins = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO   |WARNING|ERROR  ) \S")
    for line in lines:
        assert begins.match(line), repr(line)
        assert line.isprintable(), repr(line)
        assert not line.split(" ", 2)[2].lstrip().startswith("forged"), line
    assert "forged" in terminal.written


@pytest.mark.parametrize("wrong", [{"result": 7}, {"duration": "long"}, {"time": "now"}, {"failures": True}])
def test_a_value_of_another_type_would_be_noticed(wrong: dict[str, Any]) -> None:
    ((name, value),) = wrong.items()
    assert not TYPES[documented_keys()[name]](value)
