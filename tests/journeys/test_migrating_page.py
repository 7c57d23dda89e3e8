"""What docs/migrating.md says of templates: `bao agent` makes of the left side what refresher makes of the right."""

import base64
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509

from refresher.demo.openbao import OpenBao
from tests.journeys import agent
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar

PAGE = (Path(__file__).parents[2] / "docs/migrating.md").read_text()
TEXTS = {
    "host": "db.internal",
    "username": "shop",
    "password": "p'w\"<&>é ",
    "encoded": "bGluZQpsaW5l",
    "document": '{"a": 1}',
    "token": "Pz4_Pj8-",
    "count": "25",
    "debug": "true",
}
TYPED = {
    "dark": True,
    "off": False,
    "limit": 25,
    "regions": ["eu", "us"],
    "hosts": "a, b",
    "users": {"zoe": 1, "ann": 2},
}
ZONE = {"ZONE": "eu-1"}


def rows() -> list[tuple[str, str]]:
    """The table of templates: theirs, and ours."""
    (table,) = re.findall(r"^\| consul-template \| .*?\n\n", PAGE, flags=re.M | re.S)
    found = re.findall(r"^\| `(.+)` \| `(.+)` \|$", table.replace("\\|", "\0"), flags=re.M)
    assert len(found) == table.count("\n") - 3, "there is a row that can't be read"
    return [(theirs.replace("\0", "|"), ours.replace("\0", "|")) for theirs, ours in found]


ROWS = rows()


@pytest.fixture
def mount(bao: OpenBao) -> str:
    """A key-value engine, with what the table's templates ask for."""
    mount = f"kv-{uuid4().hex[:8]}"
    bao.kv(mount, 2)
    bao.write(f"{mount}/data/db", {"data": TEXTS})
    bao.write(f"{mount}/data/flags", {"data": TYPED})
    return mount


def theirs(mount: str, template: str, ours: str) -> str:
    """The whole of what the table shows, for the secret that ours names."""
    if ".Data" in template and "secret" not in template:
        name = "flags" if "flags." in ours else "db"
        template = f'{{{{ with secret "secret/data/{name}" }}}}{template}{{{{ end }}}}'
    return template.replace("secret/data/", f"{mount}/data/")


def rendered(directory: Path, bao: OpenBao, sources: dict[str, Any], entries: dict[str, Any]) -> dict[str, bytes]:
    """What refresher makes of it, by file."""
    directory.mkdir()
    configuration = {
        "providers": {"vault": {"address": bao.address, "auth": {"token": {"env": "TEST_TOKEN"}}}},
        "assets": {"ours": {"sources": sources, "render": entries}},
    }
    sidecar = Sidecar(directory, configuration, {"TEST_TOKEN": bao.token, **ZONE})
    ended = sidecar.command("once", "--strict")
    assert ended.returncode == 0, ended.stderr
    return {path.name: path.read_bytes() for path in (sidecar.volume / "ours").glob("[!.]*")}


def test_each_row_of_the_table_makes_the_same_bytes_on_both(tmp_path: Path, bao: OpenBao, mount: str) -> None:
    templates = {f"row-{number}": theirs(mount, *row) for number, row in enumerate(ROWS)}
    entries = {f"row-{number}": {"inline": ours, "env": ["ZONE"]} for number, (_, ours) in enumerate(ROWS)}
    sources = {"db": f"vault://{mount}/db", "flags": {"vault": {"path": f"{mount}/flags", "file": "data.json"}}}
    before = agent.once(tmp_path / "theirs", agent.of_templates(bao.address, templates), bao.token, **ZONE)
    after = rendered(tmp_path / "ours", bao, sources, entries)
    assert len(ROWS) > 30
    assert all(before.values())
    differing = [row for number, row in enumerate(ROWS) if before[f"row-{number}"] != after[f"row-{number}"]]
    assert differing == []


def test_a_certificate_comes_in_the_same_parts(tmp_path: Path, bao: OpenBao, pki: Pki) -> None:
    asks = f'{{{{ with pkiCert "{pki.mount}/issue/web" "common_name=web.example.com" }}}}'
    parts = {"key": ".Key", "crt": ".Cert", "ca": ".CA"}
    templates = {name: f"{asks}{{{{ {part} }}}}{{{{ end }}}}" for name, part in parts.items()}
    before = agent.once(tmp_path / "theirs", agent.of_templates(bao.address, templates), bao.token)
    source = {"vault": {"path": f"{pki.mount}/issue/web", "data": {"common_name": "web.example.com"}}}
    entries = {
        name: {"inline": f'{{{{ tls["{file}"] }}}}'}
        for name, file in (("key", "tls.key"), ("crt", "tls.crt"), ("ca", "ca.crt"))
    }
    after = rendered(tmp_path / "ours", bao, {"tls": source}, entries)
    assert after["ca"].strip() == before["ca"].strip() == pki.roots.read_bytes().strip()
    for made in (before, after):
        assert b"PRIVATE KEY" in made["key"]
        (leaf,) = x509.load_pem_x509_certificates(made["crt"])
        assert leaf.subject.rfc4514_string() == "CN=web.example.com"


def test_a_file_written_beside_another_is_an_entry_of_its_own(tmp_path: Path, bao: OpenBao, mount: str) -> None:
    beside = tmp_path / "theirs/rendered/beside"
    write = f'{{{{ .Data.data.host | writeToFile "{beside}" "" "" "0644" }}}}'
    wrote = f'{{{{ with secret "{mount}/data/db" }}}}{write}{{{{ end }}}}-'
    agent.once(tmp_path / "theirs", agent.of_templates(bao.address, {"first": wrote}), bao.token)
    after = rendered(tmp_path / "ours", bao, {"db": f"vault://{mount}/db"}, {"beside": {"copy": "db/host"}})
    assert after["beside"] == beside.read_bytes() == b"db.internal"


def test_a_keystore_that_is_kept_as_base64_is_the_same_bytes(tmp_path: Path, bao: OpenBao, mount: str) -> None:
    keystore = bytes(range(256))
    bao.write(f"{mount}/data/stores", {"data": {"keystore": base64.b64encode(keystore).decode()}})
    decoded = f'{{{{ with secret "{mount}/data/stores" }}}}{{{{ .Data.data.keystore | base64Decode }}}}{{{{ end }}}}'
    before = agent.once(tmp_path / "theirs", agent.of_templates(bao.address, {"keystore.p12": decoded}), bao.token)
    entry = {"form": "base64", "of": "stores/keystore"}
    after = rendered(tmp_path / "ours", bao, {"stores": f"vault://{mount}/stores"}, {"keystore.p12": entry})
    assert before["keystore.p12"] == after["keystore.p12"] == keystore


def test_an_empty_text_has_one_part_here_and_none_in_an_agent(tmp_path: Path, bao: OpenBao, mount: str) -> None:
    counted = '{{ "" | split "," | len }}'
    before = agent.once(tmp_path / "theirs", agent.of_templates(bao.address, {"parts": counted}), bao.token)
    after = rendered(
        tmp_path / "ours", bao, {"db": f"vault://{mount}/db"}, {"parts": {"inline": '{{ "" | split(",") | length }}'}}
    )
    assert (before["parts"], after["parts"]) == (b"0", b"1")
