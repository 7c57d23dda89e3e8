"""Which files of which repository, and how to log in."""

import re
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from refresher.options import Secret, Size


class GitOptions(BaseModel):
    """`ref` is a branch, a tag or a full `refs/…`; `path` a directory or a file in the repository, all of it if empty.

    `limit` is the most bytes of one answer, and of what these become when unpacked: both are in memory, at a time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    connection: ClassVar[frozenset[str]] = frozenset({"username", "token", "ca_file", "limit"})

    url: str
    ref: Annotated[str, Field(pattern=r"^[!-~]+$")] = "HEAD"
    path: str = ""
    username: Annotated[str, Field(pattern=r"^[^:\x00-\x1f]+$")] = "git"
    token: Secret | None = None
    ca_file: Path | None = None
    limit: Size = 16 * 1024**2

    @field_validator("url")
    @classmethod
    def _over_http(cls, url: str) -> str:
        """A repository that HTTP leads to. The URL, which may hold a password, is in no message."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[!-~]+", url):
            raise ValueError("must be an https:// or http:// URL with a host; ssh:// and git:// are not spoken here")
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not hold a user name or password: use username, and token for a reference to it")
        if parts.query or parts.fragment:
            raise ValueError("must end with the repository's path")
        _ = parts.port  # raises ValueError for a port that is none
        return url.rstrip("/")

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        path = path.removesuffix("/")
        if path and {"", ".", ".."} & set(path.split("/")):
            raise ValueError("must be a path inside the repository, such as config/web")
        return path
