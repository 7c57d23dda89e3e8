"""nginx under TLS clients that connect all the time, while its certificate is rotated."""

import time
from collections.abc import Callable
from typing import Any

from tests.pods.conftest import StartPod
from tests.pods.crowd import Crowd
from tests.pods.inside import ask
from tests.pods.manifests import configuration, example
from tests.pods.vault import Vault
from tests.waiting import until

ROTATIONS = 6
HANDSHAKES = 400
"""Between two rotations, at least."""
CLIENTS = 5


def crowd(pod: Any, vault: Vault) -> Any:
    return Crowd.connecting(pod, 8443, clients=CLIENTS, name="web.example.com", roots=vault.roots)


def held(pod: Any) -> str:
    """The serial number of the published certificate."""
    return str(ask(pod, "GET", "/assets/web-tls")[1]["revision"])


def test_no_handshake_fails_while_nginx_is_given_one_certificate_after_the_other(
    vault: Vault, run_pod: StartPod, record_property: Callable[[str, object], None]
) -> None:
    documents = example("certificate/deployment.yaml")
    vault.lead(documents)
    pod = run_pod(documents)
    serials = [held(pod)]
    with crowd(pod, vault) as clients:
        until(lambda: clients.everybody_sees(serials[-1]), within=60)
        began, before = time.monotonic(), clients.handshakes
        for rotation in range(1, ROTATIONS + 1):
            status, outcome = ask(pod, "POST", "/refresh/web-tls?until=told")
            assert status == 200, "nginx was seen serving the new certificate"
            serials.append(outcome["revision"])
            until(lambda: clients.everybody_sees(serials[-1]), within=60)
            until(lambda: clients.handshakes >= before + rotation * HANDSHAKES, within=60)  # noqa: B023
        made, took = clients.handshakes - before, time.monotonic() - began
    figure = f"{made} handshakes in {took:.1f} s, {made / took:.0f} a second, over {ROTATIONS} rotations"
    record_property("figure", figure)
    assert clients.failures == []
    assert len(set(serials)) == 1 + ROTATIONS
    assert all(set(seen) == set(serials) for seen in clients.seen())


def test_certificates_of_half_a_minute_are_rotated_by_themselves(vault: Vault, run_pod: StartPod) -> None:
    documents = example("certificate/deployment.yaml")
    vault.lead(documents)
    files = configuration(documents)
    files["refresher.yaml"] = files["refresher.yaml"].replace("ttl: 24h", "ttl: 30s").replace(": 1h}", ": 1s}")
    pod = run_pod(documents)
    before = vault.signed()
    with crowd(pod, vault) as clients:
        until(lambda: all(len(set(seen)) > 2 for seen in clients.seen()), within=120)
    assert clients.failures == []
    assert vault.signed() == before + 2
