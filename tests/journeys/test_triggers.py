"""What wakes an asset, through the real process."""

import os
import signal
from pathlib import Path
from typing import Any

from tests.fakes.long_poll import ConsulKey, LongPoll, serving
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until

SELDOM = {"every": "365d"}
"""The first look after a start, or out of turn, comes anywhere within it."""


def waiting(url: str, **options: Any) -> dict[str, Any]:
    return {"source": {"http": {"url": url, "wait": "5m", **options}}, "refresh": SELDOM}


def shows(sidecar: Sidecar, asset: str, content: bytes) -> bool:
    found = [path for path in (sidecar.volume / asset).glob("[a-z]*") if path.is_file()]
    return [path.read_bytes() for path in found] == [content]


def triggered(sidecar: Sidecar, asset: str, trigger: str) -> bool:
    return f'refresher_triggers_total{{asset="{asset}",trigger="{trigger}"}} 0.0' not in sidecar.metrics()


def test_a_change_at_a_server_that_waits_is_visible_at_once(tmp_path: Path) -> None:
    shelf = LongPoll()
    with serving(shelf) as server, running(tmp_path, {"assets": {"flags": waiting(f"{server.url}/file")}}) as sidecar:
        for content in (b"two", b"three"):
            until(lambda: shelf.held)
            shelf.put(content)
            until(lambda content=content: shows(sidecar, "flags", content))
        assert triggered(sidecar, "flags", "source")
        until(lambda: shelf.held)
        assert sidecar.stop() == 0


def test_a_server_that_is_waited_at_and_goes_away_is_asked_by_one_at_a_time_until_it_is_back(tmp_path: Path) -> None:
    shelf, names = LongPoll(), [f"flags{number}" for number in range(6)]
    with serving(shelf) as server:
        assets = {name: waiting(f"{server.url}/file") for name in names}
        with running(tmp_path, {"assets": assets}) as sidecar:
            until(lambda: shelf.held == len(names))
            before = len(server.asked)
            shelf.go_away()
            until(lambda: sidecar.state("flags0")["endpoint"]["failures"] >= 4)
            assert len(server.asked) - before <= 5
            assert f'refresher_endpoint_circuit_open{{endpoint="{server.url}"}} 1.0' in sidecar.metrics()
            assert "server away" in sidecar.command("status").stdout
            shelf.come_back(b"two")
            until(lambda: shows(sidecar, "flags0", b"two"))
            until(lambda: shelf.held == len(names), within=10)
            until(lambda: all(shows(sidecar, name, b"two") for name in names))
            shelf.go_away()
            until(lambda: sidecar.state("flags0")["endpoint"]["failures"] >= 1)
            assert sidecar.stop() == 0


def test_a_changed_key_in_a_consul_is_visible_at_once(tmp_path: Path) -> None:
    key = ConsulKey()
    with serving(key) as server:
        asset = waiting(f"{server.url}/v1/kv/app?raw", name="app.yaml")
        with running(tmp_path, {"assets": {"flags": asset}}) as sidecar:
            until(lambda: key.held)
            key.put(b"two")
            until(lambda: shows(sidecar, "flags", b"two"))
            until(lambda: key.held)
            looks = len(server.asked)
            key.touch()
            until(lambda: len(server.asked) >= looks + 2 and key.held)
            assert sidecar.state("flags")["generation"] == 2, "another index with the same content is no news"


def test_a_server_that_comes_back_is_waited_at_again(tmp_path: Path) -> None:
    shelf = LongPoll()
    with serving(shelf) as server, running(tmp_path, {"assets": {"flags": waiting(f"{server.url}/file")}}) as sidecar:
        until(lambda: shelf.held)
        server.respond = lambda request: request.reply(503)
        shelf.put(b"two")
        until(lambda: len(server.asked) >= 4)
        server.respond = shelf
        shelf.put(b"three")
        until(lambda: shows(sidecar, "flags", b"three"), within=60)
        until(lambda: shelf.held)


def test_an_app_without_http_asks_by_making_a_file(tmp_path: Path, pki: Pki) -> None:
    asset = pki.asset(ttl="24h") | {"refresh": {"trigger": "renew"}}
    with running(tmp_path, pki.configuration(web=asset)) as sidecar:
        certificate = sidecar.volume / "web" / "tls.crt"
        until(certificate.exists)
        before = certificate.read_bytes()
        (sidecar.volume / "renew").touch()
        until(lambda: not (sidecar.volume / "renew").exists())
        assert certificate.read_bytes() != before, "what is made anew has to be made anew, as by POST /refresh"
        assert triggered(sidecar, "web", "app")


def test_sigusr1_has_all_assets_refreshed(tmp_path: Path) -> None:
    shelf = LongPoll()
    with serving(shelf) as server:
        assets = {name: {"source": f"{server.url}/file", "refresh": SELDOM} for name in ("flags", "keys")}
        with running(tmp_path, {"assets": assets}) as sidecar:
            until(lambda: all(shows(sidecar, name, b"one") for name in assets))
            shelf.put(b"two")
            assert sidecar.process is not None
            os.kill(sidecar.process.pid, signal.SIGUSR1)
            until(lambda: all(shows(sidecar, name, b"two") for name in assets))
            assert all(triggered(sidecar, name, "signal") for name in assets)
            assert "SIGUSR1 came" in sidecar.logged()
