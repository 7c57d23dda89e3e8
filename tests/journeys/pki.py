"""A certificate authority in a running OpenBao, and configurations that ask it for certificates."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from refresher.demo.openbao import OpenBao


class Pki:
    """A certificate authority of its own in OpenBao, and assets that it issues for."""

    def __init__(self, bao: OpenBao, directory: Path) -> None:
        self.bao, self.mount = bao, f"pki-{uuid4().hex[:8]}"
        self.roots = directory / "roots.pem"
        self.roots.write_text(bao.pki(self.mount, "web", ttl="1h", max_ttl="24h", not_before_duration="0s"))
        self.token = directory / "token"
        self.token.write_text(bao.token)

    def asset(self, *, ttl: str, name: str = "web.example.com", **more: Any) -> dict[str, Any]:
        """An asset whose certificates are for this name and live that long."""
        data = {"common_name": name, "ttl": ttl}
        return {"source": {"vault": {"path": f"{self.mount}/issue/web", "data": data}}, **more}

    def configuration(self, **assets: Any) -> dict[str, Any]:
        """A configuration with these assets."""
        vault = {"address": self.bao.address, "auth": {"token": {"file": str(self.token)}}}
        return {
            "providers": {"vault": vault},
            "assets": {name.replace("_", "-"): asset for name, asset in assets.items()},
        }

    def issued(self) -> int:
        """How many certificates were asked for, by the server's own audit log."""
        return len(self.bao.requests(f"{self.mount}/issue/"))
