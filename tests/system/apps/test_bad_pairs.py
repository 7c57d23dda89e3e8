"""What each app of docs/apps.md does with a certificate and a key that it can't use.

refresher never publishes a pair of Vault's that doesn't match; one of your own files it does, unless `verify` has the
certificate checked.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import SSLError
from typing import Any

import pytest

from tests.certificates import Authority, Issued
from tests.system.apps.clients import NAME
from tests.system.apps.page import Recipe, configuration, recipes
from tests.system.apps.pod import PATIENCE, Pod
from tests.waiting import until

RECIPES = recipes()


class Source:
    """A directory of files as the recipes want them."""

    def __init__(self, directory: Path) -> None:
        now = datetime.now(UTC)
        self._life = {"since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}
        self._authority = Authority.root(**self._life)
        self.directory, self.roots = directory / "source", directory / "roots.pem"
        self.directory.mkdir()
        self.roots.write_bytes(self._authority.pem)

    def issue(self) -> Issued:
        return self._authority.issue(NAME, **self._life)

    def write(self, certificate: Issued, key: Issued) -> None:
        """The certificate of one, the key of the other."""
        self._replace("tls.key", key.key_pem)
        self._replace("tls.crt", certificate.pem)
        self._replace("haproxy.pem", certificate.pem + key.key_pem)

    def _replace(self, name: str, content: bytes) -> None:
        new = self.directory.parent / f"new-{name}"
        new.write_bytes(content)
        new.replace(self.directory / name)


def from_files(source: Source, added: dict[str, Any]) -> dict[str, Any]:
    """The page's asset with these files for its source, and nothing to verify."""
    asset = configuration()["assets"]["web-tls"] | added
    return {"assets": {"web-tls": asset | {"source": {"file": {"path": str(source.directory)}}, "verify": []}}}


def served(pod: Pod) -> int | str:
    """The serial that a new connection gets, or what becomes of it instead."""
    try:
        with pod.connection() as connection:
            return int(connection.serial.replace(":", ""), 16)
    except SSLError:
        return "handshakes fail"


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_pair_that_does_not_match_is_not_heard_and_the_next_that_does_is(recipe: Recipe, directory: Path) -> None:
    source = Source(directory)
    first, other, last = (source.issue() for _ in range(3))
    source.write(first, first)
    pod = Pod(recipe, directory, source.roots)
    with pod.sidecar(from_files(source, pod.asset())) as sidecar, pod.app():
        source.write(other, first)
        answer = sidecar.ask("POST", "/refresh/web-tls?until=told")
        assert answer.status != 200 or answer.json()["refused"]
        what_happens = recipe.row["a pair that doesn't match"]
        old = first.certificate.serial_number
        assert served(pod) == {"keeps the old one": old, "handshakes fail": "handshakes fail"}[what_happens]
        source.write(last, last)
        until(lambda: sidecar.ask("POST", "/refresh/web-tls?until=told").status == 200, within=PATIENCE, every=1)
        # Of an app with several workers, an old one may accept for a moment after a new one was seen.
        until(lambda: served(pod) == last.certificate.serial_number, within=PATIENCE)


def test_postgresql_does_not_start_with_a_key_that_its_group_may_read(directory: Path) -> None:
    source = Source(directory)
    issued = source.issue()
    source.write(issued, issued)
    pod = Pod(RECIPES["PostgreSQL"], directory, source.roots)
    added = pod.asset()
    assert added["publish"].pop("key_mode") == "0600"
    with (
        pod.sidecar(from_files(source, added)),
        pytest.raises(RuntimeError, match=r'private key file ".*" has group or world access'),
        pod.app(),
    ):
        pass
