"""Several real servers behind one asset, through the real process."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from refresher.demo.caddy import Caddy
from refresher.demo.seaweed import SeaweedFS
from tests.fakes.app import App
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.journeys.test_sources import fetched_bytes
from tests.providers.databases import database, role
from tests.servers.postgres import Postgres
from tests.waiting import until
from tests.written import put

MODEL = b"w" * 200_000


@dataclass
class Estate:
    """A certificate, a secret, a web server's file and a bucket's objects, all of them one asset's sources."""

    pki: Pki
    caddy: Caddy
    seaweed: SeaweedFS
    mount: str
    name: str
    bucket: str

    @property
    def sources(self) -> dict[str, Any]:
        s3 = {"bucket": self.bucket, "prefix": "fraud/", "endpoint_url": self.seaweed.endpoint_url}
        return {
            "tls": {"vault": {"path": f"{self.pki.mount}/issue/web", "data": {"common_name": "web.example.com"}}},
            "db": f"vault://{self.mount}/db",
            "flags": f"{self.caddy.url}/{self.name}",
            "model": {"s3": {**s3, "region": self.seaweed.region}},
        }

    def configuration(self, *, ttl: str = "1h", **more: Any) -> dict[str, Any]:
        sources = self.sources
        sources["tls"]["vault"]["data"]["ttl"] = ttl
        return self.pki.configuration(web={"sources": sources, "refresh": {"every": "200ms"}, **more})

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.seaweed.access_key, "AWS_SECRET_ACCESS_KEY": self.seaweed.secret_key}

    def put_password(self, value: str) -> None:
        self.pki.bao.write(f"{self.mount}/data/db", {"data": {"password": value}})

    def put_flags(self, text: str) -> None:
        put(self.caddy.root / self.name, text)


@pytest.fixture
def estate(pki: Pki, caddy: Caddy, seaweed: SeaweedFS) -> Estate:
    unique = uuid4().hex[:8]
    made = Estate(pki, caddy, seaweed, f"kv-{unique}", f"flags-{unique}.json", seaweed.bucket(f"several-{unique}"))
    pki.bao.kv(made.mount, 2)
    made.put_password("first")
    made.put_flags('{"beta": true}')
    seaweed.client().put_object(Bucket=made.bucket, Key="fraud/weights.bin", Body=MODEL)
    return made


def shown(sidecar: Sidecar) -> dict[str, bytes]:
    """All files of one generation."""
    data = (sidecar.volume / "web" / "..data").resolve()
    return {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}


def generation(sidecar: Sidecar) -> object:
    return sidecar.state("web")["generation"]


def counted(sidecar: Sidecar) -> int:
    """The generations that the metrics have, and so their bytes: a moment after the asset is said to have them."""
    (found,) = re.findall(r'refreshes_total{asset="web",result="published"} (\d+)', sidecar.metrics())
    return int(found)


def test_only_what_changed_is_fetched_again_and_one_flip_is_told_once(tmp_path: Path, estate: Estate, app: App) -> None:
    checks = [
        {"certificate": {"source": "tls", "names": ["web.example.com"], "trust": {"file": str(estate.pki.roots)}}}
    ]
    asset = {"verify": [*checks, {"document": {"source": "flags"}}], "notify": [{"http": {"url": f"{app.url}/reload"}}]}
    with running(tmp_path, estate.configuration(**asset), **estate.environment) as sidecar:
        until(lambda: counted(sidecar) == 1)
        before, moved = shown(sidecar), fetched_bytes(sidecar, "web")
        assert moved > len(MODEL)
        assert set(before) == {
            *("tls/tls.crt", "tls/tls.key", "tls/ca.crt", "db/password"),
            *(f"flags/{estate.name}", "model/weights.bin"),
        }
        estate.put_password("second")
        until(lambda: counted(sidecar) == 2)
        assert shown(sidecar) == before | {"db/password": b"second"}
        assert fetched_bytes(sidecar, "web") - moved < len(MODEL)
        assert estate.pki.issued() == 1
        until(lambda: len(app.heard) == 2)
    assert [json.loads(heard.body)["generation"] for heard in app.heard] == [1, 2]


def test_the_renewal_of_its_certificate_moves_nothing_else(tmp_path: Path, estate: Estate) -> None:
    with running(tmp_path, estate.configuration(ttl="6s"), **estate.environment) as sidecar:
        until(lambda: generation(sidecar) == 1)
        before = shown(sidecar)
        weights = (sidecar.volume / "web/model/weights.bin").stat().st_ino
        until(lambda: shown(sidecar)["tls/tls.crt"] != before["tls/tls.crt"])
        after = shown(sidecar)
        assert {name for name in before if before[name] != after[name]} == {"tls/tls.crt", "tls/tls.key"}
        assert (sidecar.volume / "web/model/weights.bin").stat().st_ino == weights
        assert sidecar.state("web")["why_next"] == "renewal"


def test_while_one_source_is_down_nothing_changes_and_nothing_is_issued(tmp_path: Path, estate: Estate) -> None:
    with running(tmp_path, estate.configuration(), **estate.environment) as sidecar:
        until(lambda: generation(sidecar) == 1)
        before = shown(sidecar)
        (estate.caddy.root / estate.name).rename(estate.caddy.root / f"{estate.name}.away")
        estate.put_password("second")
        until(lambda: sidecar.state("web")["result"] == "failed")
        assert sidecar.state("web")["error"].startswith("flags: ")
        assert shown(sidecar) == before
        (estate.caddy.root / f"{estate.name}.away").rename(estate.caddy.root / estate.name)
        until(lambda: shown(sidecar)["db/password"] == b"second")
        assert estate.pki.issued() == 1


def test_a_restart_after_a_kill_fetches_and_issues_nothing(tmp_path: Path, estate: Estate) -> None:
    with running(tmp_path, estate.configuration(), **estate.environment) as sidecar:
        until(lambda: generation(sidecar) == 1)
        sidecar.kill()
        sidecar.start()
        until(lambda: 'refreshes_total{asset="web",result="unchanged"} 2' in sidecar.metrics())
        assert 'fetched_bytes_total{asset="web"}' not in sidecar.metrics() or fetched_bytes(sidecar, "web") == 0
        assert (generation(sidecar), estate.pki.issued()) == (1, 1)


def test_a_revoked_certificate_is_replaced_at_the_next_look(tmp_path: Path, estate: Estate) -> None:
    with running(tmp_path, estate.configuration(), **estate.environment) as sidecar:
        until(lambda: generation(sidecar) == 1)
        serial = json.loads(sidecar.state("web")["revision"])["tls"]["minted"]
        estate.pki.bao.write(f"{estate.pki.mount}/revoke", {"serial_number": serial})
        until(lambda: generation(sidecar) == 2)
        assert estate.pki.issued() == 2


def test_doctor_looks_at_each_source_and_check_and_plan_know_them(tmp_path: Path, estate: Estate) -> None:
    (estate.caddy.root / estate.name).unlink()
    sidecar = Sidecar(tmp_path, estate.configuration(), estate.environment)
    assert sidecar.command("check").returncode == 0
    assert sidecar.command("plan").returncode == 0
    report = json.loads(sidecar.command("doctor", "--json").stdout)
    (findings,) = (each["findings"] for each in report["sections"] if each["section"] == "source")
    looked_at = {finding["of"].partition(": ")[0] for finding in findings}
    failing = [finding["of"].partition(": ")[0] for finding in findings if finding["verdict"] == "fail"]
    assert looked_at >= {"tls", "db", "flags", "model"}
    assert failing == ["flags"]


@pytest.fixture
def logins(pki: Pki, postgres: Postgres) -> Iterator[str]:
    with database(pki.bao, postgres) as mount:
        role(pki.bao, mount, default_ttl="1h", max_ttl="2h")
        yield mount


def login(sidecar: Sidecar) -> tuple[str, str]:
    files = shown(sidecar)
    return files["db/username"].decode(), files["db/password"].decode()


def kept(sidecar: Sidecar) -> list[str]:
    return [path.name for path in (sidecar.volume / "web/..refresher").iterdir() if path.name.isdecimal()]


def test_a_login_lives_through_changes_beside_it_and_is_revoked_once_it_was_replaced(
    tmp_path: Path, estate: Estate, logins: str, postgres: Postgres, app: App
) -> None:
    sources = {"db": f"vault://{logins}/creds/app", "flags": estate.sources["flags"]}
    told = {"publish": {"grace": "0s"}, "notify": [{"http": {"url": f"{app.url}/reload"}}]}
    asset = {"sources": sources, "refresh": {"every": "200ms"}, **told}
    with running(tmp_path, estate.pki.configuration(web=asset)) as sidecar:
        until(lambda: generation(sidecar) == 1)
        first = login(sidecar)
        estate.put_flags('{"beta": false}')
        until(lambda: generation(sidecar) == 2)
        assert login(sidecar) == first
        until(lambda: len(app.heard) == 2)
        assert sidecar.ask("POST", "/refresh/web").json()["generation"] == 3
        second = login(sidecar)
        until(lambda: not postgres.lets_in(*first))
        assert postgres.lets_in(*second)
        until(lambda: kept(sidecar) == ["00000003"])
        assert len(estate.pki.bao.requests(f"{logins}/creds/app")) == 2
