import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from refresher.address import Tcp, Unix, parse_address
from refresher.control.listen import RECEIVED, Door
from refresher.control.metrics import Metrics
from refresher.control.server import CONNECTIONS, ControlServer
from refresher.demo.process import free_port
from refresher.errors import ConfigError
from tests.control.client import Client, everything_until_closed, until_closed_or_reset
from tests.fakes.sidecar import NOW, FakeSidecar, outcome
from tests.waiting import until

REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
UNFINISHED = b"POST /refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf"


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("127.0.0.1:8470", Tcp("127.0.0.1", 8470)),
        ("[::1]:0", Tcp("::1", 0)),
        ("localhost:1", Tcp("localhost", 1)),
        ("unix:/run/control.sock", Unix(Path("/run/control.sock"))),
    ],
)
def test_an_address_is_read_as_it_is_written(written: str, where: Tcp | Unix) -> None:
    assert parse_address(written) == where


@pytest.mark.parametrize(
    "written", ["", "8470", ":8470", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "a:65536", "a:²", "unix:x"]
)
def test_an_address_that_cannot_be_one_is_a_configuration_error(serve: Callable[..., Client], written: str) -> None:
    with pytest.raises(ConfigError, match=r"control\.listen: .*must be an address"):
        serve(listen=written)


def test_a_taken_port_is_a_configuration_error_and_the_other_listener_closes(serve: Callable[..., Client]) -> None:
    taken, address = serve().addresses[0], f"127.0.0.1:{free_port()}"
    with pytest.raises(ConfigError, match=rf"probes\.listen: can't listen on {taken}: Address already in use"):
        serve(listen=address, probes=taken)
    assert serve(listen=address).get("/livez").status == 200


def test_an_address_that_is_not_ours_is_a_configuration_error(serve: Callable[..., Client]) -> None:
    with pytest.raises(ConfigError, match=r"control\.listen"):
        serve(listen="192.0.2.1:0")


def test_the_control_port_can_be_taken_again_after_a_stop(serve: Callable[..., Client], sidecar: FakeSidecar) -> None:
    address = f"127.0.0.1:{free_port()}"
    server = ControlServer(sidecar, Metrics(sidecar, notifiers={}), clock=lambda: NOW, listen=address)
    server.start()
    assert Client((address,)).get("/livez").status == 200
    server.stop()
    server.stop()
    assert server.addresses == ()
    assert serve(listen=address).get("/livez").status == 200


def test_the_probes_listener_serves_the_probes_to_anybody_and_nothing_else(serve: Callable[..., Client]) -> None:
    probes = serve(probes="127.0.0.1:0").probes()
    strange = {"Host": "10.1.2.3:8471", "X-Forwarded-For": "10.9.9.9", "Origin": "null"}
    for path in ("/livez", "/readyz", "/metrics"):
        assert probes.get(path, strange).status == 200
    for path in ("/", "/assets", "/assets/web-tls"):
        assert probes.get(path).status == 404
    assert probes.post("/refresh").status == 404
    assert probes.post("/livez").status == 405
    assert probes.post("/livez", body=b"x" * 65537).status == 413


def test_the_probes_are_served_without_a_control_listener(serve: Callable[..., Client]) -> None:
    probes = serve(listen=None, probes="127.0.0.1:0")
    assert len(probes.addresses) == 1
    for path in ("/livez", "/readyz", "/metrics"):
        assert probes.get(path).status == 200
    assert probes.get("/assets").status == 404


def test_a_unix_socket_is_for_its_owner_only_and_goes_with_the_server(
    sidecar: FakeSidecar, metrics: Metrics, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    server = ControlServer(sidecar, metrics, clock=lambda: NOW, listen=f"unix:{path}")
    server.start()
    assert path.stat().st_mode & 0o777 == 0o600
    assert Client(server.addresses).get("/assets").status == 200
    server.stop()
    assert not path.exists()


def test_a_socket_that_a_crash_left_behind_is_replaced(serve: Callable[..., Client], tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    assert serve(listen=f"unix:{path}").get("/assets").status == 200


def test_a_socket_that_somebody_answers_on_is_left_alone(serve: Callable[..., Client], tmp_path: Path) -> None:
    first = serve(listen=f"unix:{tmp_path}/control.sock")
    with pytest.raises(ConfigError, match="somebody answers"):
        serve(listen=f"unix:{tmp_path}/control.sock")
    assert first.get("/assets").status == 200


def test_a_file_where_the_socket_should_be_is_left_alone(serve: Callable[..., Client], tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ConfigError, match="not a socket"):
        serve(listen=f"unix:{path}")
    assert path.read_text() == "data"


@pytest.mark.parametrize("name", ["missing/control.sock", "x" * 200])
def test_a_socket_path_that_cannot_be_is_a_configuration_error(
    serve: Callable[..., Client], tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match=r"control\.listen"):
        serve(listen=f"unix:{tmp_path}/{name}")


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /livez HT",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf",
        b"POST /refresh HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
def test_a_request_that_does_not_arrive_is_cut_off(
    serve: Callable[..., Client], sidecar: FakeSidecar, beginning: bytes
) -> None:
    client = serve(patience=timedelta(seconds=0.2))
    with client.socket() as connection:
        connection.sendall(beginning)
        received = until_closed_or_reset(connection)  # if it was cut off before that came
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in received
    assert sidecar.asked == 0


def test_the_second_request_of_a_connection_is_cut_off_too(serve: Callable[..., Client]) -> None:
    client = serve(patience=timedelta(seconds=1))
    with client.socket() as connection:
        connection.sendall(REQUEST)
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
        connection.sendall(REQUEST[:20])
        assert everything_until_closed(connection).startswith(b"HTTP/1.1 408 ")


def test_a_request_that_came_with_another_is_cut_off_too(serve: Callable[..., Client], sidecar: FakeSidecar) -> None:
    client = serve(patience=timedelta(seconds=1))
    with client.socket() as connection:
        connection.sendall(REQUEST + UNFINISHED)
        received = everything_until_closed(connection)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in received
    assert sidecar.asked == 0


def test_a_byte_now_and_then_does_not_keep_a_connection(serve: Callable[..., Client]) -> None:
    client = serve(patience=timedelta(seconds=0.2))
    begin = time.monotonic()
    with client.socket() as connection:
        connection.settimeout(0.02)

        def closed() -> bool:
            try:
                connection.sendall(b"G")
                return connection.recv(1) != b""
            except TimeoutError:
                return False

        until(closed, every=0)
    assert time.monotonic() - begin < 20


def test_a_body_that_trickles_in_after_its_answer_is_cut_off(serve: Callable[..., Client]) -> None:
    client = serve(patience=timedelta(seconds=1))
    with client.socket() as connection:
        connection.sendall(b"POST /refresh HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\nx")
        received = everything_until_closed(connection)
    assert received.startswith(b"HTTP/1.1 413")
    assert received.count(b"HTTP/1.1") == 1


def test_a_client_that_waits_for_a_refresh_is_not_cut_off(serve: Callable[..., Client], sidecar: FakeSidecar) -> None:
    client = serve(patience=timedelta(seconds=0.05))
    # More than once only if the request itself took too long to arrive: whoever waits and is cut off has no answer.
    until(lambda: client.post("/refresh/web-tls?timeout=300ms").status == 504)


def test_an_answer_does_not_wait_for_acknowledgements(client: Client) -> None:
    host, _, port = client.addresses[0].partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    begin = time.monotonic()
    for _ in range(500):
        connection.request("GET", "/livez")
        assert connection.getresponse().read()
    connection.close()
    assert time.monotonic() - begin < 15, "500 delayed acknowledgements take 20 s"


def test_several_requests_on_one_connection_are_answered(client: Client) -> None:
    with client.socket() as connection:
        connection.sendall(REQUEST + REQUEST + REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert everything_until_closed(connection).count(b"HTTP/1.1 200") == 3


@pytest.mark.parametrize(
    "rubbish",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"G" * 20000 + b"\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n" + b"?" * 9],
)  # fmt: skip
def test_what_is_not_http_is_refused_and_disturbs_nobody(
    client: Client, caplog: pytest.LogCaptureFixture, rubbish: bytes
) -> None:
    with client.socket() as connection:
        connection.sendall(rubbish + b"\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")
    assert client.get("/livez").status == 200
    assert "Traceback" not in caplog.text


def test_an_early_answer_followed_by_rubbish_closes_quietly(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with client.socket() as connection:
        connection.sendall(b"POST /refresh HTTP/1.1\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert b"403" in connection.recv(65536)
        connection.sendall(b"not a chunk\r\n")
        everything_until_closed(connection)
    assert caplog.text == ""


def test_whoever_holds_all_connections_keeps_nobody_out(serve: Callable[..., Client]) -> None:
    client = serve(patience=timedelta(seconds=60))
    held = [client.socket() for _ in range(CONNECTIONS)]
    try:
        for connection in held[1:]:
            connection.sendall(REQUEST[:20])
        assert client.get("/livez").status == 200
        assert held[0].recv(1) == b""
        held[-1].sendall(REQUEST[20:])
        assert held[-1].recv(65536).startswith(b"HTTP/1.1 200 "), "only the oldest had to go"
    finally:
        for connection in held:
            connection.close()


def test_whoever_holds_all_connections_with_requests_that_came_together_keeps_nobody_out(
    serve: Callable[..., Client],
) -> None:
    client = serve(patience=timedelta(seconds=60))
    held = [client.socket() for _ in range(CONNECTIONS)]
    try:
        for connection in held:
            connection.sendall(REQUEST + UNFINISHED)
        for connection in held:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert client.get("/livez").status == 200
    finally:
        for connection in held:
            connection.close()


def test_while_all_connections_wait_for_an_answer_one_more_is_refused(
    serve: Callable[..., Client], sidecar: FakeSidecar
) -> None:
    client = serve(probes="127.0.0.1:0")
    waiting = [client.socket() for _ in range(CONNECTIONS)]
    try:
        for connection in waiting:
            connection.sendall(b"POST /refresh/web-tls?timeout=1h HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: sidecar.asked == CONNECTIONS, within=30)
        with client.socket() as one_more:
            assert b"HTTP/1.1 503" in everything_until_closed(one_more)
        assert client.probes().get("/livez").status == 200
        sidecar.running["web-tls"].visible.set_result(outcome("web-tls"))
        for connection in waiting:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in waiting:
            connection.close()


def test_stopping_does_not_wait_for_clients_that_wait(sidecar: FakeSidecar, metrics: Metrics) -> None:
    server = ControlServer(sidecar, metrics, clock=lambda: NOW, listen="127.0.0.1:0", probes="127.0.0.1:0")
    server.start()
    client = Client(server.addresses)
    with client.socket() as idle, ThreadPoolExecutor() as pool:
        idle.sendall(REQUEST)
        assert idle.recv(65536)
        waiting = pool.submit(client.post, "/refresh/web-tls")
        until(lambda: sidecar.asked == 1)
        server.stop()
        assert isinstance(waiting.exception(timeout=10), ConnectionError)
    until(lambda: not control_threads())
    sidecar.running["web-tls"].visible.set_result(outcome("web-tls"))


def control_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "control"]


def test_nobody_waits_for_a_client_that_hung_up(sidecar: FakeSidecar, metrics: Metrics) -> None:
    an_hour = timedelta(hours=1)
    server = ControlServer(sidecar, metrics, clock=lambda: NOW, listen="127.0.0.1:0", farewell=an_hour)
    server.start()
    client = Client(server.addresses)
    with client.socket() as connection:
        connection.sendall(b"POST /refresh/web-tls?timeout=1h HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: sidecar.asked == 1)
    assert client.get("/livez").status == 200
    server.stop()
    until(lambda: not control_threads())  # no answer is in progress any more
    assert not sidecar.running["web-tls"].visible.cancelled()


def test_who_connects_as_it_ends_is_hung_up_on(sidecar: FakeSidecar, metrics: Metrics) -> None:
    for _ in range(30):
        server = ControlServer(sidecar, metrics, clock=lambda: NOW, listen="127.0.0.1:0")
        server.start()
        with ExitStack() as late:
            clients = [late.enter_context(Client(server.addresses).socket()) for _ in range(20)]
            server.stop()
            for client in clients:
                client.settimeout(30)
                with suppress(ConnectionResetError):
                    assert client.recv(1) == b""


def test_an_answer_in_progress_is_given_before_the_end(sidecar: FakeSidecar, metrics: Metrics) -> None:
    soon = timedelta(seconds=20)
    server = ControlServer(sidecar, metrics, clock=lambda: NOW, listen="127.0.0.1:0", farewell=soon)
    server.start()
    client = Client(server.addresses)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.post, "/refresh/web-tls")
        until(lambda: sidecar.asked == 1)
        stopped = pool.submit(server.stop)
        sidecar.running["web-tls"].visible.set_result(outcome("web-tls"))
        assert waiting.result(timeout=10).status == 200
        stopped.result(timeout=10)


def test_a_server_that_never_started_can_be_stopped(sidecar: FakeSidecar, metrics: Metrics) -> None:
    ControlServer(sidecar, metrics, clock=lambda: NOW, listen="127.0.0.1:0").stop()


def test_the_kernel_holds_little_of_what_nobody_has_read() -> None:
    with closing(Door("127.0.0.1:0", key="control.listen")) as door:
        connection = socket.create_connection(door.socket.getsockname())
        accepted, _ = door.socket.accept()
        with connection, accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * RECEIVED


def test_nothing_runs_while_nobody_asks(serve: Callable[..., Client]) -> None:
    others = set(threading.enumerate())
    client = serve(probes="127.0.0.1:0")
    assert client.get("/livez").status == client.probes().get("/livez").status == 200
    (thread,) = [thread for thread in set(threading.enumerate()) - others if thread.name == "control"]

    def times_woken() -> int:
        status = Path(f"/proc/self/task/{thread.native_id}/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in status if line.startswith("voluntary"))

    def rests() -> bool:
        before = times_woken()
        threading.Event().wait(0.5)
        return times_woken() - before <= 2

    assert until(rests)  # once it has seen that the connections are closed


def test_a_process_without_descriptors_left_learns_it_from_start() -> None:
    code = (
        "import os, resource\n"
        "from refresher.control.metrics import Metrics\n"
        "from refresher.control.server import ControlServer\n"
        "from tests.fakes.sidecar import NOW, FakeSidecar\n"
        "sidecar = FakeSidecar()\n"
        "server = ControlServer(sidecar, Metrics(sidecar, notifiers={}), clock=lambda: NOW, listen='127.0.0.1:0')\n"
        "free = os.dup(0)\n"
        "os.close(free)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (free + 2, free + 2))\n"
        "try:\n"
        "    server.start()\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout == "Too many open files\n"
