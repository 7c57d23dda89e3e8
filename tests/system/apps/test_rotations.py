"""Each recipe of docs/apps.md through three rotations, with clients that connect all the time."""

from pathlib import Path
from typing import Any

import pytest

from refresher.demo.openbao import OpenBao
from refresher.demo.tls_client import Sighting
from tests.journeys.pki import Pki
from tests.system.apps.clients import WITHOUT_AN_ANSWER, Client
from tests.system.apps.page import Recipe, configuration, recipes
from tests.system.apps.pod import PATIENCE, Pod
from tests.system.apps.servers import SERVERS
from tests.waiting import until

ROTATIONS = 3
HANDSHAKES = 25
"""New connections that have to work after each rotation, besides those during it."""
RECIPES = recipes()


def test_every_recipe_has_its_server() -> None:
    assert RECIPES.keys() == SERVERS.keys()


def issued_by(pki: Pki, added: dict[str, Any]) -> dict[str, Any]:
    """The page's configuration with a recipe's additions, and with the test's authority instead of the page's."""
    whole = configuration()
    asset = whole["assets"]["web-tls"] | added
    vault = asset["source"]["vault"]
    vault["path"] = vault["path"].replace("pki/", f"{pki.mount}/")
    del whole["volume"]
    return whole | pki.configuration(web_tls=asset)


def last_sighting(client: Client) -> Sighting:
    """The newest, after enough connections to be sure that it stays so: for a moment two certificates may be served."""
    until(lambda enough=client.handshakes + HANDSHAKES: client.handshakes >= enough, within=PATIENCE)
    *_, last = iter(client.sighting, None)
    return last


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_each_new_certificate_is_served_and_no_handshake_fails(recipe: Recipe, bao: OpenBao, directory: Path) -> None:
    pki = Pki(bao, directory)
    pod, delays = Pod(recipe, directory, pki.roots), []
    with (
        pod.sidecar(issued_by(pki, pod.asset())) as sidecar,
        pod.app(),
        pod.visitor().asking() as visitor,
        pod.client().connecting() as client,
    ):
        last_sighting(client)
        for rotation in range(1, ROTATIONS + 1):
            answer = sidecar.ask("POST", "/refresh/web-tls?until=told")
            assert answer.status == 200, sidecar.logged()
            seen = last_sighting(client)
            assert seen.serial == answer.json()["revision"]
            delays.append(seen.at.timestamp() - pod.flipped_at())
            returns = rotation if recipe.row["connections"] == "closed" else 0
            until(lambda returns=returns: visitor.returns >= returns, within=PATIENCE)
            assert visitor.returns == returns
    assert visitor.failures == []
    lost = [failure for failure in client.failures if failure.startswith(WITHOUT_AN_ANSWER)]
    assert client.failures == lost, "every handshake works"
    assert len(lost) <= (0 if recipe.row["lost"] == "none" else 2 * ROTATIONS)
    print(recipe.name, [round(delay * 1000) for delay in delays], "ms;", client.handshakes, "handshakes")
