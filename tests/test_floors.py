import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import grimp
import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {f"refresher.{path.stem}" for path in (ROOT / "refresher").glob("[a-z]*") if path.suffix in ("", ".py")}
PLUGINS = {"refresher.verifiers", "refresher.notifiers"}
PUBLIC = {"refresher.abilities", "refresher.contract", "refresher.errors", "refresher.options"}
HEAVY = ("botocore", "hvac", "pydantic", "apscheduler", "watchdog", "cryptography", "urllib3")


def loaded_by(module: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after importing this one."""
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("module", [*sorted(PUBLIC), "refresher.model"])
def test_the_nouns_load_no_library(module: str) -> None:
    assert not loaded_by(module) & set(HEAVY)


def test_what_is_looked_for_would_be_seen() -> None:
    assert "pydantic" in loaded_by("pydantic")


def test_the_settings_load_no_vendors_library_and_no_parser_before_it_is_needed() -> None:
    assert not loaded_by("refresher.settings") & {*HEAVY, "yaml", "jsonschema", "typer"} - {"pydantic"}


UNUSED = ("render.rendering", "sources", "follower", "trigger_file", "watch", "once", "simulate", "control.server")
UNUSED_BY_HTTP = ("providers.http_follow", "providers.lifeline")
PLAIN = """
import sys
from functools import partial
from pathlib import Path
from refresher.app import Sidecar
from refresher.reload import ConfigurationFile
from refresher.settings import short_form
from tests.waiting import until

sidecar = Sidecar(ConfigurationFile(None, partial(short_form, sys.argv[1], Path(sys.argv[2]), environment=OFF)))
sidecar.start()
until(lambda: sidecar.all_states()[0].last_attempt_at)
sidecar.stop()
print(*sys.modules)
""".replace("OFF", repr({"REFRESHER_CONTROL__LISTEN": "off", "REFRESHER_PROBES__LISTEN": "off"}))


def test_a_sidecar_loads_nothing_that_its_one_plain_asset_does_not_use(tmp_path: Path) -> None:
    call = [sys.executable, "-c", PLAIN, "http://127.0.0.1:9/settings.json", tmp_path / "settings"]
    loaded = set(subprocess.run(call, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split())
    assert {"refresher.keeper", "providers.http"} <= loaded
    assert not loaded & {*(f"refresher.{room}" for room in UNUSED), *UNUSED_BY_HTTP}


def contract(name: str) -> dict[str, Any]:
    """The import-linter contract whose name begins so."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    return next(each for each in tools["importlinter"]["contracts"] if each["name"].startswith(name))


def test_every_room_is_on_a_floor() -> None:
    layers = contract("A floor imports only")["layers"]
    assert {room for floor in layers for room in floor.split(" | ")} == ROOMS - PLUGINS - {"refresher.testing"}


def test_the_architecture_draws_each_room_above_and_left_of_what_it_imports() -> None:
    _, table = (ROOT / "docs/architecture.md").read_text().split("| floor | rooms |\n| --- | --- |\n")
    *rows, beside = table.partition("\n\n")[0].splitlines()
    assert "`testing`" in beside
    drawn = [f"refresher.{room}" for row in rows for room in re.findall(r"`([a-z_]+)`", row)]
    assert {*drawn, *PLUGINS, "refresher.testing"} == ROOMS
    graph = grimp.build_graph("refresher")
    for room in drawn:
        graph.squash_module(room)
    wrong = [
        f"{room} imports {other}"
        for number, room in enumerate(drawn)
        for other in drawn[:number]
        if graph.direct_import_exists(importer=room, imported=other)
    ]
    assert wrong == []


def test_whatever_is_not_public_is_hidden_from_plugins() -> None:
    assert set(contract("Plugins know")["forbidden_modules"]) >= ROOMS - PLUGINS - PUBLIC


def test_every_room_of_the_core_is_kept_from_plugins_and_vendors() -> None:
    around = {
        f"refresher.{name}" for name in ("bars", "cli", "client", "commands", "demo", "foresight", "tables", "testing")
    }
    assert ROOMS - PLUGINS - around <= set(contract("The core finds plugins")["source_modules"])
