"""Values, objects and files from real servers, through the real process."""

import json
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

from refresher.demo.caddy import Caddy
from refresher.demo.openbao import OpenBao
from refresher.demo.seaweed import SeaweedFS
from tests.fakes.app import App
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until


def fetched_bytes(sidecar: Sidecar, asset: str) -> float:
    line = next(
        one
        for one in sidecar.metrics().splitlines()
        if one.startswith(f'refresher_fetched_bytes_total{{asset="{asset}"}}')
    )
    return float(line.split()[-1])


def vault(bao: OpenBao) -> dict[str, object]:
    return {"vault": {"address": bao.address, "auth": {"token": {"env": "TEST_TOKEN"}}}}


def test_a_changed_value_in_vault_is_picked_up_and_the_marker_names_it(tmp_path: Path, bao: OpenBao) -> None:
    mount = f"kv-{uuid4().hex[:8]}"
    bao.kv(mount, 2)
    bao.write(f"{mount}/data/db", {"data": {"password": "first", "user": "web"}})
    asset = {
        "source": f"vault://{mount}/db",
        "refresh": {"every": "200ms"},
        "notify": [{"marker": {"path": "db.json"}}],
    }
    configuration = {"providers": vault(bao), "assets": {"db": asset}}
    with running(tmp_path, configuration, TEST_TOKEN=bao.token) as sidecar:
        password = sidecar.volume / "db" / "password"
        until(lambda: password.exists() and password.read_text() == "first")
        assert password.stat().st_mode & 0o777 == 0o640
        bao.write(f"{mount}/data/db", {"data": {"password": "second", "user": "web"}})
        until(lambda: password.read_text() == "second")
        marker = sidecar.volume / "db.json"
        until(lambda: marker.exists() and json.loads(marker.read_text())["generation"] == 2)


def test_an_unchanged_object_in_s3_moves_no_body(tmp_path: Path, seaweed: SeaweedFS) -> None:
    bucket = seaweed.bucket(f"models-{uuid4().hex[:8]}")
    client = seaweed.client()
    client.put_object(Bucket=bucket, Key="fraud/weights.bin", Body=b"w" * 100_000)
    client.put_object(Bucket=bucket, Key="fraud/config.json", Body=b"{}")
    asset = {
        "source": {
            "s3": {"bucket": bucket, "prefix": "fraud/", "endpoint_url": seaweed.endpoint_url, "region": seaweed.region}
        },
        "refresh": {"every": "200ms"},
    }
    credentials = {"AWS_ACCESS_KEY_ID": seaweed.access_key, "AWS_SECRET_ACCESS_KEY": seaweed.secret_key}
    with running(tmp_path, {"assets": {"model": asset}}, **credentials) as sidecar:
        until(lambda: sidecar.metrics().count('refreshes_total{asset="model",result="unchanged"} 3'))
        assert fetched_bytes(sidecar, "model") == 100_002
        client.put_object(Bucket=bucket, Key="fraud/config.json", Body=b'{"a":1}')
        until(lambda: (sidecar.volume / "model/config.json").read_bytes() == b'{"a":1}')
        until(lambda: sidecar.state("model")["generation"] == 2)


def test_an_unchanged_file_over_http_moves_no_body(tmp_path: Path, caddy: Caddy) -> None:
    name = f"flags-{uuid4().hex}.json"
    (caddy.root / name).write_text('{"beta": true}')
    asset = {"source": f"{caddy.url}/{name}", "verify": ["document"], "refresh": {"every": "200ms"}}
    with running(tmp_path, {"assets": {"flags": asset}}) as sidecar:
        until(lambda: sidecar.metrics().count('refreshes_total{asset="flags",result="unchanged"} 3'))
        assert fetched_bytes(sidecar, "flags") == 14
        (caddy.root / name).write_text('{"beta": broken')
        until(lambda: sidecar.state("flags")["result"] == "rejected")
        assert json.loads((sidecar.volume / "flags" / name).read_text()) == {"beta": True}
        (caddy.root / name).write_text('{"beta": false}')
        until(lambda: sidecar.state("flags")["generation"] == 2)


def test_a_local_directory_is_followed_at_once(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/app.conf").write_text("one")
    asset = {"source": f"file://{tmp_path}/source", "refresh": {"every": "1h"}}
    with running(tmp_path, {"assets": {"conf": asset}}) as sidecar:
        shown = sidecar.volume / "conf/app.conf"
        until(shown.exists)
        (tmp_path / "source/app.conf").write_text("two")
        until(lambda: shown.read_text() == "two")


def test_a_source_in_trouble_disturbs_no_neighbour(tmp_path: Path, caddy: Caddy) -> None:
    name = f"good-{uuid4().hex}.txt"
    (caddy.root / name).write_text("good")
    with App().running() as down:
        down.answering(503, Retry_After="1")
        assets = {
            "bad": {"source": f"{down.url}/x.txt"},
            "missing": {"source": f"{caddy.url}/missing-{uuid4().hex}.txt"},
            "good": {"source": f"{caddy.url}/{name}", "refresh": {"every": "200ms"}},
        }
        with running(tmp_path, {"assets": assets}) as sidecar:
            until(lambda: sidecar.metrics().count('refreshes_total{asset="good",result="unchanged"} 3'))
            until(lambda: all(sidecar.state(name)["result"] for name in assets))
            states = {asset["asset"]: asset for asset in sidecar.ask("GET", "/assets").json()["assets"]}
            assert (states["bad"]["result"], states["missing"]["result"]) == ("failed", "failed")
            assert "404" in states["missing"]["error"]
            assert sidecar.ask("GET", "/readyz").status == 503
            assert sidecar.ask("GET", "/livez").status == 200
            assert sidecar.ask("POST", "/refresh").status == 502


def test_one_asset_needs_no_file(tmp_path: Path, caddy: Caddy) -> None:
    name = f"short-{uuid4().hex}.txt"
    (caddy.root / name).write_text("short")
    words = ["once", "--source", f"{caddy.url}/{name}", "--directory", str(tmp_path / "shared/conf")]
    (tmp_path / "shared").mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "refresher", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "shared/conf" / name).read_text() == "short"


def imported_by(sidecar: Sidecar) -> set[str]:
    """The modules that a run of the sidecar imports, as the interpreter itself lists them."""
    argv = [sys.executable, "-X", "importtime", "-m", "refresher", "once", "-c", str(sidecar.config)]
    ended = subprocess.run(
        argv, capture_output=True, text=True, env=sidecar.environment_of_process(), timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return {line.rsplit("|", 1)[-1].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")}


def test_a_vault_only_sidecar_loads_no_other_providers_library(tmp_path: Path, pki: Pki) -> None:
    sidecar = Sidecar(tmp_path, pki.configuration(web=pki.asset(ttl="1h")), {})
    modules = imported_by(sidecar)
    assert "providers.vault.provider" in modules
    assert modules.isdisjoint({"botocore", "hvac", "requests", "watchdog", "providers.s3", "providers.http"})
