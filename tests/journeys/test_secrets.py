"""No secret leaves: known ones are sent through every kind of failure, and everything that came out is searched."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from refresher.demo.openbao import OpenBao
from refresher.demo.process import free_port
from refresher.demo.seaweed import SeaweedFS
from tests.fakes.app import App, Heard
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until

SECRETS = {
    name: f"hunter2-{name}-{uuid4().hex}"
    for name in ("value", "bearer", "password", "header", "query", "s3", "approle")
}


def forms(secret: str) -> set[str]:
    """The ways in which a secret could be written."""
    return {secret, b64encode(secret.encode()).decode().rstrip("="), quote(secret), json.dumps(secret)[1:-1]}


def echo(heard: Heard) -> tuple[int, dict[str, str], bytes]:
    """An answer that throws everything back that it was told, in status text, headers and body."""
    said = json.dumps(
        {"path": heard.path, "headers": heard.headers, "errors": [heard.headers.get("Authorization", "")]}
    )
    status = {"/500": 500, "/403": 403, "/422": 422, "/302": 302}.get(heard.path.split("?")[0], 200)
    return status, {"Content-Type": "application/json", "Location": f"http://127.0.0.1:1/{heard.path}"}, said.encode()


def troubled_assets(bao: OpenBao, seaweed: SeaweedFS, app: App, mount: str) -> dict[str, Any]:
    env = {name: {"env": f"TEST_{name.upper()}"} for name in SECRETS}
    login = {"token": env["bearer"], "headers": {"X-Api-Key": env["header"]}}
    vault = {"address": bao.address, "auth": {"token": {"env": "TEST_ROOT"}}}
    bad_login = {"approle": {"role_id": env["approle"], "secret_id": env["password"]}}
    query = f"?signature={SECRETS['query']}"
    refusing = {"http": {"url": f"{app.url}/422", "headers": {"Authorization": env["header"]}}}
    failing = {"http": {"url": f"{app.url}/500{query}", "headers": {"Authorization": env["bearer"]}}}
    s3 = {"bucket": "none", "key": "none", "endpoint_url": seaweed.endpoint_url, "region": "us-east-1"}
    return {
        "published": {"source": {"vault": {**vault, "path": f"{mount}/db"}}, "notify": [refusing, failing]},
        "not-json": {
            "source": {
                "vault": {**vault, "path": f"{mount}/db", "file": "x.json", "format": "raw", "fields": ["password"]}
            },
            "verify": [{"document": {"format": "json"}}],
        },
        "no-field": {"source": {"vault": {**vault, "path": f"{mount}/db", "fields": ["none"]}}},
        "bad-name": {"source": {"vault": {**vault, "path": f"{mount}/db", "fields": {"../x": "password"}}}},
        "bad-pair": {"source": {"vault": {**vault, "path": f"{mount}/db"}}, "verify": ["certificate"]},
        "bad-login": {"source": {"vault": {"address": bao.address, "auth": bad_login, "path": f"{mount}/db"}}},
        "fake-vault": {"source": {"vault": {"address": app.url, "auth": {"token": env["bearer"]}, "path": "403"}}},
        "http-500": {"source": {"http": {"url": f"{app.url}/500{query}", **login}}},
        "http-403": {"source": {"http": {"url": f"{app.url}/403{query}", **login}}},
        "http-302": {"source": {"http": {"url": f"{app.url}/302{query}", **login}}},
        "http-down": {"source": {"http": {"url": f"http://127.0.0.1:{free_port()}/x{query}", **login}}},
        "http-basic": {
            "source": {"http": {"url": f"{app.url}/500", "basic": {"username": "u", "password": env["password"]}}}
        },
        "s3-denied": {"source": {"s3": s3}},
    }


def everything_that_came_out(sidecar: Sidecar, assets: dict[str, Any]) -> str:
    out = [sidecar.metrics(), sidecar.command("status").stdout, sidecar.command("refresh").stdout]
    out.append(sidecar.ask("GET", "/").data.decode())
    out += [answer.data.decode() for answer in (sidecar.ask("GET", "/openapi.json"), sidecar.ask("GET", "/assets"))]
    for words in (["plan"], ["plan", "--json"], ["doctor"], ["doctor", "--json"], ["check"], ["once", "--notify"]):
        ended = sidecar.command(*words)
        out += [ended.stdout, ended.stderr]
    for asset in assets:
        for method, path in (("GET", "/assets/"), ("POST", "/refresh/")):
            answer = sidecar.ask(method, path + asset)
            out += [str(answer.headers), answer.data.decode()]
    records = [*sidecar.volume.rglob("manifest.json"), *sidecar.volume.rglob("ledger.json")]
    return "\n".join([*out, *(path.read_text() for path in records), sidecar.logged()])


def test_no_secret_comes_out_however_a_refresh_fails(tmp_path: Path, bao: OpenBao, seaweed: SeaweedFS) -> None:
    mount = f"kv-{uuid4().hex[:8]}"
    bao.kv(mount, 2)
    bao.write(
        f"{mount}/data/db",
        {"data": {"password": SECRETS["value"], "tls.crt": SECRETS["value"], "tls.key": SECRETS["value"]}},
    )
    environment = {f"TEST_{name.upper()}": secret for name, secret in SECRETS.items()} | {"TEST_ROOT": bao.token}
    aws = {"AWS_ACCESS_KEY_ID": seaweed.access_key, "AWS_SECRET_ACCESS_KEY": SECRETS["s3"]}
    with App(answers=echo).running() as app:
        assets = troubled_assets(bao, seaweed, app, mount)
        with running(tmp_path, {"assets": assets}, **environment, **aws) as sidecar:
            until(lambda: all(sidecar.state(asset)["result"] for asset in assets), within=30)
            out = everything_that_came_out(sidecar, assets)
            states = {asset: sidecar.state(asset) for asset in assets}
    assert states["published"]["generation"] == 1
    assert {asset for asset, state in states.items() if state["result"] in {"failed", "rejected"}} == set(assets) - {
        "published"
    }
    leaked = {
        name for name, secret in {**SECRETS, "root": bao.token}.items() if any(form in out for form in forms(secret))
    }
    assert leaked == set()


def test_files_with_secrets_are_never_readable_by_others(tmp_path: Path, bao: OpenBao) -> None:
    mount = f"kv-{uuid4().hex[:8]}"
    bao.kv(mount, 1)
    bao.write(f"{mount}/db", {"password": SECRETS["value"]})
    vault = {"address": bao.address, "auth": {"token": {"env": "TEST_ROOT"}}, "path": f"{mount}/db"}
    with running(tmp_path, {"assets": {"db": {"source": {"vault": vault}}}}, TEST_ROOT=bao.token) as sidecar:
        until(lambda: sidecar.state("db")["generation"])
        holding = [
            path
            for path in sidecar.volume.rglob("*")
            if path.is_file() and SECRETS["value"].encode() in path.read_bytes()
        ]
    assert holding
    assert {path.stat().st_mode & 0o007 for path in holding} == {0}
