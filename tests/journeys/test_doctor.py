"""The doctor's visit, as a person or a pipeline asks for it."""

import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from refresher.demo.openbao import OpenBao
from tests.diagnoses import black_hole
from tests.fakes.app import App
from tests.fakes.fault_proxy import fault_proxy, silence
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.traces import traces
from tests.waiting import until


def examined(sidecar: Sidecar, *words: str) -> Mapping[str, Any]:
    document: dict[str, Any] = json.loads(sidecar.command("doctor", "--json", *words).stdout)
    return document


def findings(document: Mapping[str, Any], section: str) -> dict[str, Mapping[str, Any]]:
    (found,) = [each for each in document["sections"] if each["section"] == section]
    return {finding["of"]: finding for finding in found["findings"]}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source/app.conf"
    path.parent.mkdir()
    path.write_text("one")
    return path


def accessors(bao: OpenBao) -> set[str]:
    """The server's names of the living tokens, whose own other tests make and revoke meanwhile."""
    return set(bao.names("auth/token/accessors"))


def test_beside_a_running_sidecar_all_is_well_and_nothing_is_left_behind(
    tmp_path: Path, pki: Pki, bao: OpenBao, source: Path
) -> None:
    role_id, secret_id = bao.approle(pki.mount, [pki.mount])
    bao.policy(pki.mount, f'path "{pki.mount}/issue/*" {{ capabilities = ["update"] }}')
    auth = {}
    for name, value in (("role_id", role_id), ("secret_id", secret_id)):
        (tmp_path / name).write_text(value)
        auth[name] = {"file": str(tmp_path / name)}
    with App().running() as app:
        notify = [{"http": {"url": app.url}}, {"marker": {"path": "web.json"}}]
        never = {"every": 0}  # the first look would be written down
        configuration = pki.configuration(
            web=pki.asset(ttl="24h", notify=notify, refresh=never),
            conf={"source": f"file://{source}", "refresh": never},
        )
        configuration["providers"]["vault"]["auth"] = {"approle": auth}
        with running(tmp_path, configuration) as sidecar:
            until(lambda: sidecar.state("web")["notified_generation"] and sidecar.state("conf")["generation"])
            until(lambda: (sidecar.volume / "web.json").exists())
            before = traces(sidecar.volume)
            issued, tokens, heard = pki.issued(), accessors(bao), len(app.heard)
            document = examined(sidecar)
            assert (document["verdict"], document["counts"]["fail"]) == ("ok", 0), document
            assert findings(document, "control")["listener"]["seen"].startswith("a sidecar answers")
            web = next(each for each in document["sections"] if each["section"] == "source" and each["asset"] == "web")
            assert [each["of"] for each in web["findings"]][-2:] == ["right", "logout"]
            assert traces(sidecar.volume) == before
            assert (pki.issued(), len(app.heard)) == (issued, heard)
            until(lambda: not accessors(bao) - tokens)
            assert secret_id not in json.dumps(document)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_it_in_the_middle_leaves_no_login_behind(
    tmp_path: Path, pki: Pki, bao: OpenBao, number: signal.Signals
) -> None:
    """With a vault that answers the login, and then nothing more until it has to take that back."""
    auth: dict[str, Any] = {}
    bao.policy(pki.mount, f'path "{pki.mount}/issue/*" {{ capabilities = ["update"] }}')
    for name, value in zip(("role_id", "secret_id"), bao.approle(pki.mount, [pki.mount]), strict=True):
        (tmp_path / name).write_text(value)
        auth[name] = {"file": str(tmp_path / name)}
    with fault_proxy(bao.address) as proxy:
        configuration = pki.configuration(web=pki.asset(ttl="24h"))
        configuration["providers"]["vault"] |= {"address": proxy.address, "auth": {"approle": auth}}
        sidecar = Sidecar(tmp_path, configuration, {})
        proxy.fail(silence, where="sys/capabilities-self")
        before = accessors(bao)
        process = sidecar.begin("doctor")
        until(lambda: proxy.asked("sys/capabilities-self"), within=60)
        (login,) = accessors(bao) - before
        process.send_signal(number)
        assert process.wait(30) != 0
        print(proxy.seen, sidecar.logged())
        assert login not in accessors(bao)


def test_before_the_first_start_it_makes_not_even_a_directory(tmp_path: Path, source: Path) -> None:
    sidecar = Sidecar(tmp_path, {"assets": {"conf": {"source": f"file://{source}"}}}, {})
    before = traces(sidecar.volume)
    ended = sidecar.command("doctor")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "✓ path" in ended.stdout
    assert traces(sidecar.volume) == before


def test_a_failure_is_exit_code_1_and_a_warning_with_strict_alone(tmp_path: Path, source: Path) -> None:
    with App().running() as app:
        app.answering(200, b"no revision")
        sidecar = Sidecar(tmp_path, {"assets": {"conf": {"source": f"{app.url}/x"}}}, {})
        assert sidecar.command("doctor").returncode == 0
        assert sidecar.command("doctor", "--strict").returncode == 1
    ended = sidecar.command("doctor")
    assert ended.returncode == 1
    assert "→ Start the server" in ended.stdout


def test_bad_configuration_and_an_unknown_asset_are_exit_code_2(tmp_path: Path, source: Path) -> None:
    sidecar = Sidecar(tmp_path, {"assets": {"conf": {"source": f"file://{source}"}}}, {})
    unknown = sidecar.command("doctor", "nope")
    assert (unknown.returncode, unknown.stderr) == (2, "no such asset: nope\n")
    assert Sidecar(tmp_path, {"assets": {"conf": {}}}, {}).command("doctor").returncode == 2


def test_only_the_assets_that_are_named_are_examined(tmp_path: Path, source: Path) -> None:
    assets = {"conf": {"source": f"file://{source}"}, "other": {"source": "file:///none"}}
    sidecar = Sidecar(tmp_path, {"assets": assets}, {})
    assert {each["asset"] for each in examined(sidecar, "conf")["sections"]} == {"conf", None}


def test_ten_sources_that_never_answer_take_as_long_as_one(tmp_path: Path) -> None:
    with black_hole() as address:
        assets = {f"conf-{number}": {"source": f"http://{address}/{number}"} for number in range(10)}
        sidecar = Sidecar(tmp_path, {"assets": assets}, {})
        began = time.monotonic()
        document = examined(sidecar)
        # Six seconds each: one after the other they would take sixty.
        assert time.monotonic() - began < 40
    assert document["counts"]["fail"] == 10
