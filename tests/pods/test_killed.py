"""A container that is killed comes back to what it had, and hears of what comes later."""

from typing import Any

import pytest

from tests.pods.conftest import StartPod
from tests.pods.crowd import Crowd
from tests.pods.inside import ask, killed
from tests.pods.manifests import example
from tests.pods.vault import Vault
from tests.waiting import until


@pytest.fixture
def web(vault: Vault, run_pod: StartPod) -> Any:
    documents = example("certificate/deployment.yaml")
    vault.lead(documents)
    return run_pod(documents)


def crowd(pod: Any, vault: Vault) -> Any:
    return Crowd.connecting(pod, 8443, clients=1, name="web.example.com", roots=vault.roots)


def test_a_killed_sidecar_has_nothing_issued_anew_and_rotates_on(vault: Vault, web: Any) -> None:
    first, signed = ask(web, "GET", "/assets/web-tls")[1]["revision"], vault.signed()
    with crowd(web, vault) as clients:
        with killed(web, "refresher"):
            until(lambda: clients.everybody_sees(first), within=60)
        until(web.ready, within=60)
        assert ask(web, "GET", "/assets/web-tls")[1]["revision"] == first
        assert vault.signed() == signed
        second = ask(web, "POST", "/refresh/web-tls")[1]["revision"]
        until(lambda: clients.everybody_sees(second), within=60)
    assert clients.seen() == [[first, second]]
    assert clients.failures == []


def test_a_killed_main_container_comes_back_with_the_same_files_and_is_told_of_later_ones(
    vault: Vault, web: Any
) -> None:
    first, signed = ask(web, "GET", "/assets/web-tls")[1]["revision"], vault.signed()
    with killed(web, "nginx"):
        pass
    until(web.ready, within=60)
    with crowd(web, vault) as clients:
        until(lambda: clients.everybody_sees(first), within=60)
        assert vault.signed() == signed
        second = ask(web, "POST", "/refresh/web-tls")[1]["revision"]
        until(lambda: clients.everybody_sees(second), within=60)
    assert clients.failures == []
