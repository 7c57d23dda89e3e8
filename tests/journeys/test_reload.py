"""The configuration of a running sidecar is changed, as kubelet, editors and people change it."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import yaml

from refresher.demo.process import end, free_port
from tests.fakes.app import App
from tests.fakes.web import Page, Request, WebServer, web_server
from tests.journeys.sidecar import Sidecar, kept_running, running
from tests.waiting import until
from tests.written import put

SELDOM = {"every": "365d"}
"""The first look after a start, or out of turn, comes anywhere within it: that of an hour met one test in a hundred."""


class Site:
    """A web server that has a file for every path, and counts who was asked for what."""

    def __init__(self, server: WebServer) -> None:
        self.server, self.let_go = server, Event()
        server.respond = self.respond

    def respond(self, request: Request) -> None:
        if request.path.startswith("/slow"):
            self.let_go.wait(60)
        Page(request.path.encode(), etag=f'"{request.path}"')(request)

    def fetches(self) -> Counter[str]:
        return Counter(asked.path for asked in self.server.asked)

    def asset(self, path: str, **keys: Any) -> dict[str, Any]:
        source = {"http": {"url": f"{self.server.url}/{path}", "name": "file"}}
        return {"source": source, "refresh": SELDOM, **keys}


@pytest.fixture
def site() -> Iterator[Site]:
    with web_server() as server:
        site = Site(server)
        try:
            yield site
        finally:
            site.let_go.set()


def loaded(sidecar: Sidecar) -> dict[str, Any]:
    document: dict[str, Any] = sidecar.ask("GET", "/assets").json()["configuration"]
    return document


def is_valid(sidecar: Sidecar) -> bool:
    return "refresher_config_valid 1.0" in sidecar.metrics()


def hang_up(sidecar: Sidecar) -> None:
    assert sidecar.process is not None
    sidecar.process.send_signal(signal.SIGHUP)


def shown(sidecar: Sidecar, directory: str) -> bytes:
    path = sidecar.volume / directory / "file"
    return path.read_bytes() if path.exists() else b""


def publish_config_map(directory: Path, number: int, content: str, **others: str) -> None:
    """As kubelet does: a directory of its own, and one rename of the link that all others go through."""
    new = directory / f"..2026_11_27_{number}"
    new.mkdir()
    for name, text in {"refresher.yaml": content, **others}.items():
        (new / name).write_text(text)
    (directory / "..data_tmp").symlink_to(new.name)
    (directory / "..data_tmp").replace(directory / "..data")


def test_a_config_map_that_changes_is_followed(tmp_path: Path, site: Site) -> None:
    sidecar = Sidecar(tmp_path, {"assets": {"web": site.asset("one")}}, {})
    mounted = tmp_path / "etc"
    mounted.mkdir()
    publish_config_map(mounted, 1, sidecar.config.read_text())
    (mounted / "refresher.yaml").symlink_to("..data/refresher.yaml")
    sidecar.config = mounted / "refresher.yaml"
    with kept_running(sidecar):
        until(lambda: shown(sidecar, "web") == b"/one")
        assets = {"web": site.asset("two"), "new": site.asset("three")}
        publish_config_map(mounted, 2, yaml.safe_dump(sidecar.configuration | {"assets": assets}))
        until(lambda: (shown(sidecar, "web"), shown(sidecar, "new")) == (b"/two", b"/three"), within=60)
        until(lambda: is_at(sidecar, "web", 2))
        publish_config_map(mounted, 3, yaml.safe_dump(sidecar.configuration | {"assets": {"new": assets["new"]}}))
        until(lambda: sidecar.ask("GET", "/assets/web").status == 404, within=60)
        assert shown(sidecar, "web") == b"/two"
    assert site.fetches() == {"/one": 1, "/two": 1, "/three": 1}


def test_an_editor_that_moves_its_file_into_place_is_followed(tmp_path: Path, site: Site) -> None:
    with running(tmp_path, {"assets": {"web": site.asset("one")}}) as sidecar:
        until(lambda: shown(sidecar, "web") == b"/one")
        written = tmp_path / ".refresher.yaml.swp"
        written.write_text(yaml.safe_dump(sidecar.configuration | {"assets": {"web": site.asset("two")}}))
        written.replace(sidecar.config)
        until(lambda: shown(sidecar, "web") == b"/two", within=60)


def unknown_key(config: Path) -> None:
    put(config, config.read_text() + "asets: {}\n")


def cut_off(config: Path) -> None:
    config.write_text(config.read_text().partition("volume")[0] + "volume: [")


def as_directory(config: Path) -> None:
    config.unlink()
    config.mkdir()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (unknown_key, "asets: is not a known key"),
        (cut_off, "is not valid YAML"),
        (lambda config: config.write_text(""), "the file is empty"),
        (Path.unlink, "can't be read: No such file"),
        (as_directory, "can't be read: Is a directory"),
    ],
)
def test_a_broken_configuration_is_told_and_the_one_before_goes_on(
    tmp_path: Path, site: Site, harm: Callable[[Path], object], reason: str
) -> None:
    with running(tmp_path, {"assets": {"web": site.asset("one")}}) as sidecar:
        until(lambda: sidecar.state("web")["generation"] == 1)
        good, began = sidecar.config.read_text(), loaded(sidecar)["loaded_at"]
        harm(sidecar.config)
        until(lambda: not is_valid(sidecar), within=60)
        for _ in range(2):
            hang_up(sidecar)
        until(lambda: reason in loaded(sidecar)["problems"][0])
        assert loaded(sidecar)["loaded_at"] == began
        assert [sidecar.ask("GET", path).status for path in ("/readyz", "/livez")] == [200, 200]
        assert sidecar.ask("POST", "/refresh/web").status == 200
        if sidecar.config.is_dir():
            sidecar.config.rmdir()
        sidecar.config.write_text(good)
        until(lambda: is_valid(sidecar), within=60)
        assert sidecar.state("web")["generation"] == 1
        told = [line["message"] for line in sidecar.logged_lines() if reason in line["message"]]
    # An empty file may have been told of, too, as long as another one was being written.
    assert len(told) == 1
    assert "doesn't work" in told[0]


def test_status_and_page_say_what_is_wrong_with_the_configuration(tmp_path: Path, site: Site) -> None:
    with running(tmp_path, {"assets": {"web": site.asset("one")}}) as sidecar:
        unknown_key(sidecar.config)
        until(lambda: not is_valid(sidecar), within=60)
        page = sidecar.ask("GET", "/", Accept="text/html").data.decode()
        assert "asets: is not a known key" in page
        asked = sidecar.command("status")
    assert (asked.returncode, "web" in asked.stdout) == (0, True)
    assert "asets: is not a known key" in asked.stderr


def test_a_new_destination_is_told_of_what_is_visible_and_nothing_is_fetched_for_it(tmp_path: Path, site: Site) -> None:
    with App().running() as one, App().running() as other:
        asset = site.asset("one", notify=[{"http": {"url": f"{one.url}/-/reload"}}])
        with running(tmp_path, {"assets": {"web": asset}}) as sidecar:
            until(lambda: sidecar.state("web")["notified_generation"] == 1)
            asset["notify"].append({"http": {"url": f"{other.url}/-/reload"}})
            sidecar.configure(assets={"web": asset})
            hang_up(sidecar)
            until(lambda: len(other.heard) == 1)
            until(lambda: sidecar.state("web")["notified_generation"] == 1)
    assert (len(one.heard), len(other.heard), site.fetches()) == (1, 1, {"/one": 1})


def test_another_directory_is_filled_and_the_one_before_stays(tmp_path: Path, site: Site) -> None:
    with running(tmp_path, {"assets": {"web": site.asset("one")}}) as sidecar:
        until(lambda: shown(sidecar, "web") == b"/one")
        sidecar.configure(assets={"web": site.asset("one", publish={"directory": "elsewhere"})})
        hang_up(sidecar)
        until(lambda: shown(sidecar, "elsewhere") == b"/one")
        assert shown(sidecar, "web") == b"/one"


def test_an_asset_under_another_name_uses_the_files_that_are_there(tmp_path: Path, site: Site) -> None:
    with running(tmp_path, {"assets": {"web": site.asset("one", publish={"directory": "tls"})}}) as sidecar:
        until(lambda: sidecar.state("web")["generation"] == 1)
        sidecar.configure(assets={"renamed": site.asset("one", publish={"directory": "tls"})})
        hang_up(sidecar)
        until(lambda: sidecar.ask("GET", "/assets/renamed").status == 200)
        until(lambda: sidecar.state("renamed")["generation"] == 1)
        until(lambda: 'asset="web"' not in sidecar.metrics())
    assert site.fetches() == {"/one": 1}


def test_a_source_that_hangs_holds_up_no_other_change_and_its_refresh_ends_before_the_next_begins(
    tmp_path: Path, site: Site
) -> None:
    assets = {"hung": site.asset("slow"), "web": site.asset("one"), "gone": site.asset("slow-too")}
    with running(tmp_path, {"assets": assets}) as sidecar:
        until(lambda: site.fetches()["/slow"] == site.fetches()["/slow-too"] == 1)
        sidecar.configure(assets={"hung": site.asset("quick"), "web": site.asset("two")})
        hang_up(sidecar)
        until(lambda: shown(sidecar, "web") == b"/two")
        assert sidecar.ask("POST", "/refresh/hung?timeout=10ms").status == 504
        assert sidecar.ask("GET", "/assets/gone").status == 404
        assert site.fetches()["/quick"] == 0
        site.let_go.set()
        until(lambda: shown(sidecar, "hung") == b"/quick")
        until(lambda: 'asset="gone"' not in sidecar.metrics())
    assert "Traceback" not in sidecar.logged()


def test_who_waits_for_an_asset_that_is_taken_out_is_answered(tmp_path: Path, site: Site) -> None:
    assets = {"hung": site.asset("slow"), "web": site.asset("one")}
    with running(tmp_path, {"assets": assets}) as sidecar:
        until(lambda: site.fetches()["/slow"] == 1)
        with subprocess.Popen(
            [sys.executable, "-m", "refresher", "refresh", "hung", "-c", str(sidecar.config)],
            stderr=subprocess.PIPE,
            text=True,
            env=sidecar.environment_of_process(),
        ) as asking:
            until(lambda: connections(sidecar) > 0)
            sidecar.configure(assets={"web": site.asset("one")})
            hang_up(sidecar)
            _, said = asking.communicate(timeout=60)
        assert (asking.returncode, said) == (2, "no such asset: hung\n")
        assert not site.let_go.is_set()


def connections(sidecar: Sidecar) -> int:
    """Those to its control listener that are open."""
    wanted = f":{sidecar.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(wanted) and row[3] == "01" for row in rows)


def test_what_only_a_restart_can_change_is_said(tmp_path: Path, site: Site) -> None:
    with running(tmp_path, {"assets": {"web": site.asset("one")}}) as sidecar:
        sidecar.configure(control={"listen": f"127.0.0.1:{free_port()}"})
        hang_up(sidecar)
        until(lambda: loaded(sidecar)["restart_needed"] == ["control.listen"])
        assert is_valid(sidecar)
        until(lambda: "only a restart makes these count: control.listen" in sidecar.logged())


def test_a_check_that_is_repaired_in_a_file_it_names_is_tried_at_once(tmp_path: Path, site: Site) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    verify = [{"document": {"files": ["file"], "format": "json", "schema": {"file": str(schema)}}}]
    with running(tmp_path, {"assets": {"web": site.asset("12", verify=verify)}}) as sidecar:
        until(lambda: sidecar.state("web")["result"] == "rejected")
        site.server.respond = Page(b"12", etag='"12"')
        schema.write_text("{}")
        until(lambda: sidecar.state("web")["result"] == "published", within=60)


def rendering(site: Site, template: str) -> dict[str, Any]:
    return site.asset("one", render={"file": template})


def test_an_edited_template_is_visible_without_a_restart_and_so_is_one_that_it_includes(
    tmp_path: Path, site: Site
) -> None:
    (tmp_path / "app.j2").write_text("first {{ file }} {% include 'parts/end.j2' %}")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/end.j2").write_text(".")
    with running(tmp_path, {"assets": {"web": rendering(site, "app.j2"), "still": site.asset("two")}}) as sidecar:
        until(lambda: shown(sidecar, "web") == b"first /one .")
        until(lambda: is_at(sidecar, "still", 1))
        before = facts(sidecar, "still")
        put(tmp_path / "app.j2", "second {{ file }} {% include 'parts/end.j2' %}")
        until(lambda: shown(sidecar, "web") == b"second /one .", within=60)
        put(tmp_path / "parts/end.j2", "!")
        until(lambda: shown(sidecar, "web") == b"second /one !", within=60)
        assert facts(sidecar, "still") == before
        until(lambda: is_at(sidecar, "web", 3))


def test_a_template_in_a_config_map_beside_the_configuration_is_followed(tmp_path: Path, site: Site) -> None:
    sidecar = Sidecar(tmp_path, {"assets": {"web": rendering(site, "app.j2")}}, {})
    mounted, content = tmp_path / "etc", sidecar.config.read_text()
    mounted.mkdir()
    for name in ("refresher.yaml", "app.j2"):
        (mounted / name).symlink_to(f"..data/{name}")
    sidecar.config = mounted / "refresher.yaml"
    publish_config_map(mounted, 1, content, **{"app.j2": "first {{ file }}"})
    with kept_running(sidecar):
        until(lambda: shown(sidecar, "web") == b"first /one")
        publish_config_map(mounted, 2, content, **{"app.j2": "second {{ file }}"})
        until(lambda: shown(sidecar, "web") == b"second /one", within=60)


def test_what_is_written_beside_a_template_has_nothing_read_again(tmp_path: Path, site: Site) -> None:
    (tmp_path / "app.j2").write_text("first {{ file }}")
    with running(tmp_path, {"assets": {"web": rendering(site, "app.j2")}}) as sidecar:  # whose log is there, too
        until(lambda: shown(sidecar, "web") == b"first /one")
        put(tmp_path / "app.j2", "second {{ file }}")
        until(lambda: shown(sidecar, "web") == b"second /one", within=60)
        for number in range(3):
            (tmp_path / "notes").write_text(str(number))
            unknown_key(sidecar.config)
            until(lambda: not is_valid(sidecar), within=60)
            sidecar.configure()
            until(lambda: is_valid(sidecar), within=60)
        read_again = [line["message"] for line in sidecar.logged_lines() if "was read again" in line["message"]]
    assert read_again == [
        "the configuration was read again: changed web; 0 as before",
        *["the configuration was read again: nothing differs"] * 3,
    ]


def test_a_template_that_comes_after_the_configuration_that_names_it_is_used(tmp_path: Path, site: Site) -> None:
    with running(tmp_path, {"assets": {"web": site.asset("one")}}) as sidecar:
        until(lambda: shown(sidecar, "web") == b"/one")
        sidecar.configure(assets={"web": rendering(site, "templates/app.j2")})
        until(lambda: not is_valid(sidecar), within=60)
        assert "templates/app.j2 can't be read: No such file" in loaded(sidecar)["problems"][0]
        (tmp_path / "templates").mkdir()
        (tmp_path / "templates/app.j2").write_text("of {{ file }}")
        until(lambda: shown(sidecar, "web") == b"of /one", within=60)
        assert is_valid(sidecar)


def test_a_template_with_a_mistake_is_told_with_its_line_until_it_is_mended(tmp_path: Path, site: Site) -> None:
    (tmp_path / "app.j2").write_text("first {{ file }}")
    with running(tmp_path, {"assets": {"web": rendering(site, "app.j2")}}) as sidecar:
        until(lambda: shown(sidecar, "web") == b"first /one")
        put(tmp_path / "app.j2", "\n{{ file | qoute }}")
        until(lambda: not is_valid(sidecar), within=60)
        assert loaded(sidecar)["problems"] == ["assets.web.render.file: app.j2: line 2: No filter named 'qoute'."]
        assert shown(sidecar, "web") == b"first /one"
        (tmp_path / "app.j2").write_text("\n{{ file | quote }}")
        until(lambda: shown(sidecar, "web") == b'\n"/one"', within=60)


def test_without_a_file_sighup_does_no_harm(tmp_path: Path, site: Site) -> None:
    (tmp_path / "shared").mkdir()
    log = tmp_path / "log"
    words = ["run", "--source", f"{site.server.url}/one", "--directory", str(tmp_path / "shared/web")]
    listen = {"REFRESHER_CONTROL__LISTEN": "off", "REFRESHER_PROBES__LISTEN": "off"}
    with log.open("wb") as errors:
        process = subprocess.Popen([sys.executable, "-m", "refresher", *words], stderr=errors, env=os.environ | listen)
    try:
        until(lambda: (tmp_path / "shared/web/one").exists(), within=60)
        process.send_signal(signal.SIGHUP)
        until(lambda: "there is no configuration file to read again" in log.read_text())
        assert process.poll() is None
    finally:
        end(process)


EARLY = """
import os, signal, sys
from pathlib import Path
from refresher.app import run
from refresher.reload import ConfigurationFile
from refresher.settings import load

signals = [signal.SIGHUP, signal.SIGUSR1]

def interrupted():
    while signals:
        os.kill(os.getpid(), signals.pop())
    return load(path, os.environ)

path = Path(sys.argv[1])
run(ConfigurationFile(path, interrupted))
"""


def test_signals_that_come_while_it_starts_are_answered_once_it_runs(tmp_path: Path, site: Site) -> None:
    sidecar = Sidecar(tmp_path, {"assets": {"web": site.asset("one")}}, {})
    with sidecar.log.open("wb") as log:
        environment = sidecar.environment_of_process()
        sidecar.process = subprocess.Popen([sys.executable, "-c", EARLY, sidecar.config], stderr=log, env=environment)
    try:
        until(sidecar.answers, within=60)
        until(lambda: 'refresher_triggers_total{asset="web",trigger="signal"} 1.0' in sidecar.metrics())
    finally:
        assert sidecar.stop() == 0


EDITS = 100


def test_a_hundred_edits_of_which_every_third_is_broken_disturb_nothing_that_did_not_change(
    tmp_path: Path, site: Site
) -> None:
    with App().running() as app:
        notify = [{"http": {"url": app.url}}]
        assets = {name: site.asset(name, notify=notify if name == "still" else []) for name in ("a", "b", "c", "still")}
        changes: Counter[str] = Counter(list(assets))
        with running(tmp_path, {"assets": assets}) as sidecar:
            until(lambda: all(is_at(sidecar, name, 1) for name in assets))
            before = {name: facts(sidecar, name) for name in assets}
            assert sidecar.process is not None
            for number in range(EDITS):
                if number % 3 == 2:
                    unknown_key(sidecar.config)
                    hang_up(sidecar)
                    until(lambda: not loaded(sidecar)["valid"])
                else:
                    name = "abc"[number % 3 if number % 2 else 2]
                    changes[name] += 1
                    assets[name] = site.asset(f"{name}?{number}")
                    sidecar.configure(assets=assets)
                    hang_up(sidecar)
                    until(partial(is_at, sidecar, name, changes[name]))
                    before[name] = facts(sidecar, name)
                assert {name: facts(sidecar, name) for name in assets} == before
                if number == EDITS // 5:
                    descriptors, threads = open_things(sidecar.process.pid)
            now_open = open_things(sidecar.process.pid)
            assert now_open[0] <= descriptors + 8
            assert now_open[1] <= threads + 4
            assert "Traceback" not in sidecar.logged()
    fetched = Counter(path.partition("?")[0].removeprefix("/") for path in site.fetches().elements())
    assert (fetched, len(app.heard)) == (changes, 1)


def is_at(sidecar: Sidecar, name: str, generation: int) -> bool:
    return bool(sidecar.state(name)["notified_generation"] == generation)


def facts(sidecar: Sidecar, name: str) -> Mapping[str, Any]:
    """What tells a disturbed asset from one that wasn't."""
    state, seen = sidecar.state(name), (sidecar.volume / name / "file").stat()
    kept = {key: state[key] for key in ("generation", "published_at", "notified_generation", "last_attempt_at")}
    return {**kept, "outcomes": len(state["history"]), "inode": seen.st_ino, "changed": seen.st_ctime_ns}


def open_things(pid: int) -> tuple[int, int]:
    """How many descriptors and threads a process has."""
    return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))
