"""One sidecar whose server is taken ill and cured, and what can be seen of both."""

import contextlib
import hashlib
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from refresher.demo.openbao import OpenBao
from tests.fakes.fault_proxy import FaultProxy, fault_proxy
from tests.journeys.sidecar import Sidecar, running
from tests.waiting import until

LIVES = {"almost-over": 155, "over": 60, "long": 3600}
"""Certificates and their seconds: after 140 s of outage the first has under 20 left, the second ended long ago."""
VALUES = ("values", "more-values")
EVERY = 5
DEADLINE = 5.0
"""Seconds, `vault.timeout`."""


class Ward:
    """A server, the proxy before it, and the sidecar: all of its assets are published."""

    def __init__(self, bao: OpenBao, proxy: FaultProxy, sidecar: Sidecar) -> None:
        self.bao, self.proxy, self.sidecar = bao, proxy, sidecar

    @property
    def assets(self) -> list[str]:
        return [*LIVES, *VALUES]

    def state(self, asset: str) -> dict[str, Any]:
        return self.sidecar.state(asset)

    def failed(self, asset: str) -> int:
        """The sidecar's own count of failed refreshes."""
        found = re.search(rf'refreshes_total{{asset="{asset}",result="failed"}} (\d+)', self.sidecar.metrics())
        return int(found[1]) if found else 0

    def requests(self, asset: str, since: float) -> int:
        """Requests for that asset, as the proxy saw them."""
        return len(self.proxy.asked(f"/{asset}/", since=since))

    def issued(self, asset: str) -> int:
        """Certificates that the server was asked for, by its audit log."""
        return len(self.bao.requests(f"{asset}/issue/"))

    def content(self) -> str:
        """A digest of all that readers see."""
        seen = hashlib.sha256()
        for asset in self.assets:
            for file in sorted(each for each in (self.sidecar.volume / asset).iterdir() if each.name[0] != "."):
                seen.update(f"{asset}/{file.name}".encode() + file.read_bytes())
        return seen.hexdigest()

    def remaining(self, asset: str) -> timedelta:
        """What is left of the certificate's life."""
        return datetime.fromisoformat(self.state(asset)["expires_at"]) - datetime.now(UTC)

    def healed(self, since: float) -> dict[str, float]:
        """Seconds from `since` until each asset that was in trouble is well."""
        well: dict[str, float] = {}

        def all_well() -> bool:
            for asset in {*self.assets} - {*well}:
                state = self.state(asset)
                if not state["consecutive_failures"] and state["generation"] == (
                    2 if asset in ("over", "almost-over") else 1
                ):
                    well[asset] = time.monotonic() - since
            return len(well) == len(self.assets)

        with contextlib.suppress(AssertionError):
            until(all_well, within=45, every=0.05)
        return well


@contextlib.contextmanager
def ward(directory: Path) -> Iterator[Ward]:
    """Everything started and published; the certificates are seconds old."""
    with OpenBao.started(directory) as bao, fault_proxy(bao.address) as proxy:
        for mount in LIVES:
            bao.pki(mount, "web", not_before_duration="0s")
        for mount in VALUES:
            bao.kv(mount, 2)
            bao.write(f"{mount}/data/app", {"data": {"user": "ann"}})
        with running(directory, _configuration(bao, proxy, directory)) as sidecar:
            one = Ward(bao, proxy, sidecar)
            until(lambda: all(one.state(asset)["generation"] == 1 for asset in one.assets), within=60)
            yield one


def _configuration(bao: OpenBao, proxy: FaultProxy, directory: Path) -> dict[str, Any]:
    values = {
        name: {"source": {"vault": {"path": f"{name}/app"}}, "refresh": {"every": f"{EVERY}s"}} for name in VALUES
    }
    # Looked after once a day, whether they are revoked: no outage meets that by chance, and renewals are what it meets.
    lives = {
        name: {"source": {"vault": _issue(name, seconds)}, "refresh": {"every": "1d"}}
        for name, seconds in LIVES.items()
    }
    vault = {"address": proxy.address, "timeout": f"{DEADLINE}s", "auth": {"approle": _approle(bao, directory)}}
    return {"providers": {"vault": vault}, "assets": values | lives}


def _issue(mount: str, seconds: int) -> dict[str, Any]:
    return {"path": f"{mount}/issue/web", "data": {"common_name": "web", "ttl": f"{seconds}s"}}


def _approle(bao: OpenBao, directory: Path) -> dict[str, Any]:
    """A login that ends during the outage, so that its cure takes a new one."""
    bao.policy(
        "all", "\n".join(f'path "{mount}/*" {{ capabilities = ["read", "update"] }}' for mount in (*LIVES, *VALUES))
    )
    files = {"role_id": directory / "role-id", "secret_id": directory / "secret-id"}
    for file, value in zip(files.values(), bao.approle("web", ["all"], token_ttl="90s"), strict=True):
        file.write_text(value)
    return {name: {"file": str(file)} for name, file in files.items()}
