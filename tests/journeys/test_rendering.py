"""Templates and ready forms of what a real OpenBao has, through the real process."""

import json
import ssl
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from cryptography import x509

from refresher.demo.openbao import OpenBao
from tests.fakes.app import App
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until

TEMPLATE = """\
database:
  url: postgres://{{ user }}@{{ env.DB_HOST }}/app
  password: {{ password | quote }}
"""


@pytest.fixture
def mount(bao: OpenBao) -> str:
    mount = f"kv-{uuid4().hex[:8]}"
    bao.kv(mount, 2)
    bao.write(f"{mount}/data/db", {"data": {"user": "web", "password": 'fir"st'}})
    return mount


def configuration(directory: Path, bao: OpenBao, mount: str, **asset: Any) -> dict[str, Any]:
    (directory / "templates").mkdir(exist_ok=True)
    (directory / "templates/app.yaml.j2").write_text(TEMPLATE)
    render = {
        "app.yaml": {"template": "templates/app.yaml.j2", "env": ["DB_HOST"]},
        "db.env": {"form": "env"},
        "db/password": {"copy": "password"},
    }
    vault = {"address": bao.address, "auth": {"token": {"env": "TEST_TOKEN"}}}
    source = f"vault://{mount}/db"
    return {"providers": {"vault": vault}, "assets": {"app": {"source": source, "render": render, **asset}}}


def test_a_changed_value_changes_all_that_is_made_of_it_and_the_app_hears_once(
    tmp_path: Path, bao: OpenBao, mount: str, app: App
) -> None:
    told = [{"http": {"url": f"{app.url}/-/reload"}}]
    settings = configuration(tmp_path, bao, mount, refresh={"every": "200ms"}, notify=told)
    with running(tmp_path, settings, TEST_TOKEN=bao.token, DB_HOST="db") as sidecar:
        published = sidecar.volume / "app"
        until(lambda: app.heard)
        document = yaml.safe_load((published / "app.yaml").read_text())
        assert document == {"database": {"url": "postgres://web@db/app", "password": 'fir"st'}}
        assert (published / "db.env").read_text() == 'password="fir\\"st"\nuser=web\n'
        assert (published / "app.yaml").stat().st_mode & 0o777 == 0o640
        bao.write(f"{mount}/data/db", {"data": {"user": "web", "password": "second"}})
        until(lambda: len(app.heard) == 2)
        assert (published / "db/password").read_text() == "second"
        assert yaml.safe_load((published / "app.yaml").read_text())["database"]["password"] == "second"
    assert set(json.loads(app.heard[1].body)["files"]) == {"app.yaml", "db.env", "db/password"}


def test_a_value_that_is_missing_leaves_the_files_and_is_told_without_any_value(
    tmp_path: Path, bao: OpenBao, mount: str
) -> None:
    settings = configuration(tmp_path, bao, mount, refresh={"every": "200ms"})
    with running(tmp_path, settings, TEST_TOKEN=bao.token, DB_HOST="db") as sidecar:
        until(lambda: sidecar.state("app")["generation"] == 1)
        bao.write(f"{mount}/data/db", {"data": {"user": "web", "passwd": "third-secret"}})
        error = until(lambda: sidecar.state("app")["error"]).removeprefix("refused before, and it is still the same: ")
        assert error.startswith("app.yaml: app.yaml.j2: line 3: 'password' is undefined")
        assert "fir" in (sidecar.volume / "app/app.yaml").read_text()
        assert sidecar.state("app")["generation"] == 1
        assert "third-secret" not in sidecar.logged() + sidecar.ask("GET", "/assets/app").data.decode()


def test_an_edited_template_is_rendered_at_the_next_start_and_nothing_else_is(
    tmp_path: Path, bao: OpenBao, mount: str
) -> None:
    environment = {"TEST_TOKEN": bao.token, "DB_HOST": "db"}
    sidecar = Sidecar(tmp_path, configuration(tmp_path, bao, mount), environment)
    assert sidecar.command("check").returncode == 0
    assert sidecar.command("once").returncode == 0
    first = (sidecar.volume / "app/..data").readlink()
    assert sidecar.command("once").returncode == 0
    assert (sidecar.volume / "app/..data").readlink() == first
    (tmp_path / "templates/app.yaml.j2").write_text("password: {{ password | quote }}\n")
    assert sidecar.command("once").returncode == 0
    assert yaml.safe_load((sidecar.volume / "app/app.yaml").read_text()) == {"password": 'fir"st'}


def test_check_tells_a_mistake_in_a_template_with_its_line(tmp_path: Path, bao: OpenBao, mount: str) -> None:
    sidecar = Sidecar(tmp_path, configuration(tmp_path, bao, mount), {"TEST_TOKEN": bao.token})
    (tmp_path / "templates/app.yaml.j2").write_text("\n{{ password | qoute }}")
    ended = sidecar.command("check")
    assert ended.returncode == 2
    assert ended.stderr == "assets.app.render.app.yaml: app.yaml.j2: line 2: No filter named 'qoute'.\n"


def test_a_doctor_looks_at_the_source_of_what_is_rendered(tmp_path: Path, bao: OpenBao, mount: str) -> None:
    sidecar = Sidecar(tmp_path, configuration(tmp_path, bao, mount), {"TEST_TOKEN": bao.token})
    (section,) = [
        each
        for each in json.loads(sidecar.command("doctor", "--json").stdout)["sections"]
        if each["section"] == "source"
    ]
    assert {each["verdict"] for each in section["findings"]} == {"ok"}


BUNDLE = {"site.pem": {"form": "pem", "of": ["tls.crt", "tls.key"]}}


def leaf(path: Path) -> x509.Certificate:
    """The first certificate of a bundle that a TLS server can use."""
    of_one_generation = path.resolve()  # OpenSSL opens it twice
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(of_one_generation)
    return x509.load_pem_x509_certificate(of_one_generation.read_bytes())


def test_a_certificate_in_a_bundle_is_renewed_by_its_own_end_and_a_restart_issues_none(
    tmp_path: Path, pki: Pki
) -> None:
    with running(tmp_path, pki.configuration(web=pki.asset(ttl="10s", render=BUNDLE))) as sidecar:
        bundle = sidecar.volume / "web/site.pem"
        first = leaf(until(lambda: bundle if bundle.exists() else None))
        assert bundle.stat().st_mode & 0o777 == 0o640
        state = sidecar.planned("web", 1)
        assert (state["why_next"], list(state["files"])) == ("renewal", ["site.pem"])
        assert state["expires_at"] == first.not_valid_after_utc.isoformat().replace("+00:00", "Z")
        until(lambda: leaf(bundle).serial_number != first.serial_number, within=30)
    asset = pki.asset(ttl="1h", render=BUNDLE)
    (tmp_path / "restarted").mkdir()
    with running(tmp_path / "restarted", pki.configuration(web=asset)) as sidecar:
        before, issued = sidecar.planned("web", 1)["next_refresh_at"], pki.issued()
        sidecar.kill()
        sidecar.start()
        assert (sidecar.planned("web", 1)["next_refresh_at"], pki.issued()) == (before, issued)


def test_the_end_of_a_certificate_counts_for_a_file_that_does_not_show_it(tmp_path: Path, pki: Pki) -> None:
    asset = pki.asset(ttl="1h", render={"note": {"inline": "made of {{ files | length }} files"}})
    sidecar = Sidecar(tmp_path, pki.configuration(web=asset), {})
    assert sidecar.command("once").returncode == 0
    assert (sidecar.volume / "web/note").read_text() == "made of 3 files"
    (planned,) = json.loads(sidecar.command("plan", "--json").stdout)
    assert planned["why_next"] == "renewal"
