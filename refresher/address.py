"""Where a listener listens, as it is written: `host:port`, an IPv6 address in brackets, or `unix:/absolute/path`."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

TCP_PATTERN = r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})"


@dataclass(frozen=True, slots=True)
class Tcp:
    """A host and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine, or this pod, can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True, slots=True)
class Unix:
    """A Unix socket."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = Tcp | Unix


def parse_address(written: str) -> Address:
    """`127.0.0.1:8470`, `[::1]:8470` or `unix:/path`. Raises ValueError."""
    if written.startswith("unix:/"):
        return Unix(Path(written.removeprefix("unix:")))
    match = re.fullmatch(TCP_PATTERN, written)
    if match is None or int(match[2]) > 65535:
        raise ValueError("must be an address such as 127.0.0.1:8470, or unix:/path")
    return Tcp(match[1].strip("[]"), int(match[2]))
