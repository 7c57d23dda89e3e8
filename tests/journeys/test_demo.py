import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

import pytest

from refresher.demo.process import free_port, running
from refresher.demo.tls_client import TlsClient
from tests.certificates import Authority, Issued
from tests.waiting import until

SERVED = re.compile(r"served +(?:(\S+) → )?(\S+)   (?:\d+ ms|seen)")
SINCE = datetime.now(UTC) - timedelta(minutes=1)
UNTIL = SINCE + timedelta(hours=1)
AUTHORITY = Authority.root(since=SINCE, until=UNTIL)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    """A user's own, with a place for temporary files that can be looked into afterwards."""
    return os.environ | {"HOME": str(home), "TMPDIR": str(home / "tmp")}


def demo(home: Path, *options: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "refresher", "demo", *options]
    return subprocess.Popen(
        argv, cwd=home, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def ended_within(child: subprocess.Popen[str], seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A demo that hangs is ended like any other: asked first, so that it ends what it started."""
    alarm = threading.Timer(seconds, child.terminate)
    alarm.start()
    try:
        with child:
            yield child
    finally:
        alarm.cancel()


def read_until(text: str, lines: IO[str]) -> str:
    """The lines up to the one with the text; all of them if there is none."""
    seen = ""
    for line in lines:
        seen += line
        if text in line:
            break
    return seen


def left_running(home: Path) -> dict[int, str]:
    """The processes, and their command lines, that have the user's HOME, or one below it, in their environment."""
    left = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(home).encode() in (process / "environ").read_bytes():
                left[int(process.name)] = (process / "cmdline").read_text()
        except OSError:
            continue
    return left


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/ca.crt").write_bytes(AUTHORITY.pem)
    return tmp_path / "tls"


def issued() -> Issued:
    return AUTHORITY.issue("localhost", since=SINCE, until=UNTIL)


def publish(tls: Path, pair: Issued) -> Issued:
    (tls / "tls.crt").write_bytes(pair.pem)
    (tls / "tls.key").write_bytes(pair.key_pem)
    return pair


@contextmanager
def app(tls: Path) -> Iterator[tuple[int, int]]:
    """The app as its own process: its public and its local port."""
    https, local = free_port(), free_port()
    listen = ["--https", f"127.0.0.1:{https}", "--local", f"127.0.0.1:{local}"]
    argv = [sys.executable, "-m", "refresher.demo.tls_app", "--directory", str(tls), *listen]
    with running(argv, log=tls / "log", answers=lambda: told(local) == {}):
        yield https, local


def get(connection: http.client.HTTPConnection, path: str = "/") -> Any:
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def told(port: int) -> Any:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        return get(connection, "/-/told")


def post(port: int, path: str, change: object = None) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", path, json.dumps(change))
        return connection.getresponse().status


def test_the_demo_shows_three_rotations_a_refusal_and_a_refresh_by_hand_and_leaves_nothing(home: Path) -> None:
    with ended_within(demo(home, "--rotations", "3"), 170) as child:
        shown, errors = child.communicate()
    assert (child.returncode, errors) == (0, "")
    served = SERVED.findall(shown)
    assert len(served) == 4
    assert [old for old, _ in served[1:]] == [new for _, new in served[:-1]]
    assert len({new for _, new in served}) == 4
    assert [each in shown for each in ("Rotation 1 of 3", "Rotation 2 of 3", "Rotation 3 of 3")] == [True] * 3
    assert re.search(r"rejected +document: flags.json is not valid JSON", shown)
    assert re.search(r"kept +generation 1 .*the app was told nothing", shown)
    by_hand = shown[shown.index("a manual refresh") :]
    asked = "curl -sS -X POST http://127.0.0.1:" if shutil.which("curl") else "refresher refresh web-tls"
    assert re.search(rf"\$ +{asked}", by_hand)
    assert by_hand.index("answer       published") < by_hand.index("served")
    assert "none failed" in shown
    assert "\x1b" not in shown
    assert left_running(home) == {}
    assert list((home / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_endless_demo_ends_at_a_signal_and_leaves_nothing(home: Path, number: int) -> None:
    with ended_within(demo(home, "--rotations", "0"), 110) as child:
        assert child.stdout is not None
        seen = read_until("Rotation 1:", child.stdout)
        child.send_signal(number)
        rest, errors = child.communicate()
    assert "generation 1   tls/ has ca.crt, tls.crt, tls.key" in seen
    assert (child.returncode, errors) == (0, "")
    assert rest.endswith("ended\n")
    assert left_running(home) == {}
    assert list((home / "tmp").iterdir()) == []


def test_a_demo_that_is_interrupted_while_it_starts_its_servers_fails_and_leaves_nothing(home: Path) -> None:
    with ended_within(demo(home, "--rotations", "3"), 110) as child:
        assert child.stdout is not None
        read_until("Start the sources", child.stdout)
        child.send_signal(signal.SIGTERM)
        _, errors = child.communicate()
    assert (child.returncode, errors) == (128 + signal.SIGTERM, "")
    assert left_running(home) == {}
    assert list((home / "tmp").iterdir()) == []


def test_a_demo_whose_app_dies_says_so_and_fails(home: Path) -> None:
    with ended_within(demo(home, "--rotations", "3"), 110) as child:
        assert child.stdout is not None
        read_until("Rotation 1 of 3", child.stdout)
        (app,) = [number for number, argv in left_running(home).items() if "refresher.demo.tls_app" in argv]
        os.kill(app, signal.SIGKILL)
        _, errors = child.communicate()
    assert child.returncode == 1
    assert "refresher demo: a TLS client could not connect" in errors
    assert "the end of the sidecar's log:" in errors
    assert "Traceback" not in errors
    assert left_running(home) == {}
    assert list((home / "tmp").iterdir()) == []


def test_without_its_servers_the_demo_says_what_to_install(home: Path) -> None:
    (home / "bin").mkdir()
    (home / "bin/python").symlink_to(Path(sys.executable).resolve())
    (home / "lib").symlink_to(Path(sys.prefix, "lib"))
    shutil.copy(Path(sys.prefix, "pyvenv.cfg"), home)
    done = subprocess.run(
        [home / "bin/python", "-m", "refresher", "demo"], env=environment(home), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") <= 2
    assert "pip install '.[demo]' in a checkout" in done.stderr
    assert list((home / "tmp").iterdir()) == []


def test_the_app_keeps_its_certificate_when_the_new_pair_does_not_fit(tls: Path) -> None:
    publish(tls, issued())
    with app(tls) as (https, local), TlsClient(https, name="localhost", roots=tls / "ca.crt").connecting() as client:
        first = until(client.sighting)
        (tls / "tls.key").write_bytes(issued().key_pem)
        assert post(local, "/-/reload") == 422
        seen = client.handshakes
        until(lambda: client.handshakes > seen + 3)
        assert client.sighting() is None
        assert client.failures == []
        publish(tls, issued())
        assert post(local, "/-/reload") == 200
        assert until(client.sighting).serial != first.serial


def test_a_connection_that_is_open_stays_open_over_a_reload(tls: Path) -> None:
    publish(tls, issued())
    with app(tls) as (https, local):
        trust = ssl.create_default_context(cafile=tls / "ca.crt")
        connection = http.client.HTTPSConnection("localhost", https, context=trust, timeout=10)
        connection.connect()
        before = connection.sock
        assert get(connection) == {"hello": "from the main container"}
        publish(tls, issued())
        assert post(local, "/-/reload", {"asset": "web-tls", "generation": 2}) == 200
        assert get(connection) == {"hello": "from the main container"}
        assert connection.sock is before
        connection.close()
        assert told(local) == {"web-tls": [2]}
