"""Certificates from a real OpenBao, through the real process, into a volume that readers watch."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from refresher.demo.process import free_port
from tests.fakes.app import App
from tests.journeys.pairs import bad_pair
from tests.journeys.pki import Pki
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until


def serial(directory: Path) -> int:
    return x509.load_pem_x509_certificate((directory / "tls.crt").read_bytes()).serial_number


def test_a_certificate_is_replaced_at_its_renewal_moment_and_the_app_is_told(
    tmp_path: Path, pki: Pki, app: App
) -> None:
    asset = pki.asset(
        ttl="6s",
        verify=[{"certificate": {"names": ["web.example.com"], "trust": {"file": str(pki.roots)}}}],
        publish={"directory": "tls"},
        notify=[{"http": {"url": f"{app.url}/-/reload"}}],
    )
    with running(tmp_path, pki.configuration(web=asset)) as sidecar:
        tls = sidecar.volume / "tls"
        first = until(lambda: (tls / "tls.crt").exists() and serial(tls))
        assert sidecar.planned("web", 1)["why_next"] == "renewal"
        until(lambda: serial(tls) != first)
        until(lambda: len(app.heard) >= 2)
    told = [json.loads(heard.body) for heard in app.heard]
    assert [change["generation"] for change in told[:2]] == [1, 2]
    assert told[0]["path"] == str(tls)
    assert set(told[0]["files"]) == {"tls.crt", "tls.key", "ca.crt"}


def test_a_restart_after_a_kill_issues_nothing_and_keeps_the_renewal_moment(tmp_path: Path, pki: Pki) -> None:
    with running(tmp_path, pki.configuration(web=pki.asset(ttl="1h"))) as sidecar:
        before = sidecar.planned("web", 1)
        for _ in range(3):
            sidecar.kill()
            sidecar.start()
        assert sidecar.planned("web", 1)["next_refresh_at"] == before["next_refresh_at"]
        assert pki.issued() == 1


def test_a_manual_refresh_answers_when_the_new_files_are_there(tmp_path: Path, pki: Pki) -> None:
    with running(tmp_path, pki.configuration(web=pki.asset(ttl="1h"))) as sidecar:
        until(lambda: sidecar.state("web")["generation"] == 1)
        old = serial(sidecar.volume / "web")
        answer = sidecar.ask("POST", "/refresh/web")
        new = serial(sidecar.volume / "web")
        assert (answer.status, answer.json()["result"], answer.json()["generation"]) == (200, "published", 2)
        assert new != old
        assert (
            answer.json()["revision"].replace(":", "") == f"{new:0{len(answer.json()['revision'].replace(':', ''))}x}"
        )


def test_an_init_container_and_then_the_sidecar_fetch_nothing_twice(tmp_path: Path, pki: Pki) -> None:
    sidecar = Sidecar(tmp_path, pki.configuration(web=pki.asset(ttl="1h")), {})
    assert sidecar.command("once").returncode == 0
    assert sidecar.command("once").returncode == 0
    sidecar.start()
    try:
        until(lambda: sidecar.state("web")["generation"] == 1)
    finally:
        assert sidecar.stop() == 0
    assert pki.issued() == 1


def test_an_app_that_was_down_is_told_when_it_comes_up(tmp_path: Path, pki: Pki) -> None:
    port = free_port()
    asset = pki.asset(ttl="1h", notify=[{"http": {"url": f"http://127.0.0.1:{port}/reload"}}])
    with running(tmp_path, pki.configuration(web=asset)) as sidecar:
        until(lambda: 'result="failed"' in sidecar.metrics() and sidecar.state("web")["generation"] == 1)
        assert sidecar.state("web")["notified_generation"] is None
        with App(port=port).running() as app:
            until(lambda: sidecar.state("web")["notified_generation"] == 1)
            assert [json.loads(heard.body)["generation"] for heard in app.heard] == [1]
    assert pki.issued() == 1


@contextmanager
def reading(directories: list[Path]) -> Iterator[list[str]]:
    """Read certificate and key of each directory in a tight loop; answers what went wrong, and how often it read."""
    wrong: list[str] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            for directory in directories:
                problem = bad_pair(directory)
                if problem:
                    wrong.append(problem)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield wrong
    finally:
        ended.set()
        reader.join()


def test_no_reader_ever_sees_a_bad_pair_during_200_rotations(tmp_path: Path, pki: Pki) -> None:
    names = [f"web{number}" for number in range(20)]
    assets = {name: pki.asset(ttl="3s") for name in names}
    with running(tmp_path, pki.configuration(**assets)) as sidecar:
        directories = [sidecar.volume / name for name in names]
        until(lambda: all(sidecar.state(name)["generation"] for name in names), within=60)
        with reading(directories) as wrong:
            until(lambda: rotations(sidecar, names) >= 200, within=180, every=0.2)
        assert wrong == []


def rotations(sidecar: Sidecar, names: list[str]) -> int:
    return sum(
        asset["generation"] - 1 for asset in sidecar.ask("GET", "/assets").json()["assets"] if asset["asset"] in names
    )


@pytest.mark.parametrize("ttl", ["1h"])
def test_a_certificate_that_another_root_signed_is_refused_and_the_good_one_stays(
    tmp_path: Path, pki: Pki, ttl: str
) -> None:
    asset = pki.asset(ttl=ttl, verify=[{"certificate": {"trust": {"file": str(pki.roots)}}}])
    with running(tmp_path, pki.configuration(web=asset)) as sidecar:
        until(lambda: sidecar.state("web")["generation"] == 1)
        old = serial(sidecar.volume / "web")
        pki.roots.write_text(Pki(pki.bao, tmp_path).roots.read_text())
        answer = sidecar.ask("POST", "/refresh/web")
        assert (answer.status, answer.json()["result"]) == (422, "rejected")
        assert serial(sidecar.volume / "web") == old
        assert sidecar.state("web")["expires_at"] is not None


def test_a_certificate_revoked_at_the_server_is_replaced_at_the_next_look_and_only_that_one(
    tmp_path: Path, pki: Pki
) -> None:
    often = {"refresh": {"every": "1s"}}
    configuration = pki.configuration(web=pki.asset(ttl="1h", **often), other=pki.asset(ttl="1h", **often))
    with running(tmp_path, configuration) as sidecar:
        assert [sidecar.planned(name, 1)["why_next"] for name in ("web", "other")] == ["renewal"] * 2
        pki.bao.write(f"{pki.mount}/revoke", {"serial_number": sidecar.state("web")["revision"]})
        until(lambda: sidecar.state("web")["generation"] == 2)
        assert pki.issued() == 3
        assert sidecar.state("other")["generation"] == 1
        assert bad_pair(sidecar.volume / "web") is None


def test_a_key_made_here_is_used_again_over_a_restart_and_never_sent(tmp_path: Path, pki: Pki) -> None:
    asset = pki.asset(ttl="1h")
    asset["source"]["vault"] |= {"key": "local", "reuse_key": True, "files": {"bundle": "tls.pem"}}
    with running(tmp_path, pki.configuration(web=asset)) as sidecar:
        until(lambda: sidecar.state("web")["generation"] == 1)
        key = (sidecar.volume / "web" / "tls.key").read_text()
        sidecar.kill()
        sidecar.start()
        assert sidecar.ask("POST", "/refresh/web").json()["generation"] == 2
        assert (sidecar.volume / "web" / "tls.key").read_text() == key
        assert bad_pair(sidecar.volume / "web") is None
        assert key in (sidecar.volume / "web" / "tls.pem").read_text()
        assert len(pki.bao.requests(f"{pki.mount}/sign/web")) == 2
        assert pki.issued() == 0


def test_both_authorities_are_trusted_while_one_follows_the_other(tmp_path: Path, pki: Pki) -> None:
    def under(authority: Pki) -> dict[str, Any]:
        asset = authority.asset(ttl="1h")
        asset["source"]["vault"]["ca_overlap"] = "1h"
        return pki.configuration(web=asset)

    with running(tmp_path, under(pki)) as sidecar:
        until(lambda: sidecar.state("web")["generation"] == 1)
    (tmp_path / "next").mkdir()
    following = Pki(pki.bao, tmp_path / "next")
    with running(tmp_path, under(following)) as sidecar:
        until(lambda: sidecar.state("web")["generation"] == 2)
        trusted = x509.load_pem_x509_certificates((sidecar.volume / "web" / "ca.crt").read_bytes())
        roots = [x509.load_pem_x509_certificate(each.roots.read_bytes()) for each in (following, pki)]
        assert trusted == roots
