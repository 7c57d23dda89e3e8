"""The options of the `http` provider: where a file is, how to log in, how to wait."""

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from refresher.options import Duration, Secret

OURS = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "if-match", "if-modified-since"}
) | frozenset({"if-none-match", "if-range", "if-unmodified-since", "range", "transfer-encoding"})
"""Headers that a configuration can't set, because fetching depends on them."""
SHORTEST, LONGEST = timedelta(seconds=5), timedelta(minutes=10)
"""What may be waited for; more than ten minutes Consul doesn't hold a query back."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")


class Basic(BaseModel):
    """A user name and the reference to its password."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    username: Annotated[str, Field(pattern=r"^[^:\x00-\x1f]*$")]
    password: Secret


class HttpOptions(BaseModel):
    """Where the file is and how to log in. `name` replaces the last path segment as the file's name.

    `wait`: how long the server may hold a request back until the file changes; 0: it isn't asked to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    connection: ClassVar[frozenset[str]] = frozenset(
        {"headers", "token", "basic", "ca_file", "cert_file", "key_file", "wait"}
    )

    url: str
    headers: Mapping[str, str | Secret] = Field(default_factory=dict)
    token: Secret | None = None
    basic: Basic | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    name: str | None = None
    wait: Annotated[Duration, Field(json_schema_extra={"default": "0s"})] = timedelta(0)

    @field_validator("url")
    @classmethod
    def _reachable(cls, url: str) -> str:
        return plain_url(url)

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
        for name, value in headers.items():
            if not _TOKEN.fullmatch(name) or name.lower() in OURS:
                raise ValueError(f"the header {name!r} can't be set")
            if isinstance(value, str) and not HEADER_VALUE.fullmatch(value):
                raise ValueError(f"the header {name!r} must be printable ASCII")
        return headers

    @field_validator("wait")
    @classmethod
    def _bearable(cls, wait: timedelta) -> timedelta:
        if wait and not SHORTEST <= wait <= LONGEST:
            raise ValueError("must be 0, or from 5s to 10m")
        return wait

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        logins = [self.token, self.basic, *(name for name in self.headers if name.lower() == "authorization")]
        if sum(login is not None for login in logins) > 1:
            raise ValueError("must have at most one of token, basic and an Authorization header")
        if self.wait and any(name.lower() == "prefer" for name in self.headers):
            raise ValueError("wait needs the header Prefer for itself")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
        if self.file_name in ("", ".", "..") or "/" in self.file_name or "\0" in self.file_name:
            raise ValueError("the URL's path must end with a file name, or `name` be one")
        return self

    @property
    def file_name(self) -> str:
        """`name`, else the URL's last path segment, percent-decoded."""
        return self.name if self.name is not None else unquote(urlsplit(self.url).path.rpartition("/")[2])


def plain_url(url: str) -> str:
    """The URL, its scheme in lower case. Raises ValueError, without the URL in it, for what is no plain HTTP URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL with a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password: use basic, with a reference to the password")
    if not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ValueError("must be ASCII without spaces; write other characters percent-encoded")
    _ = parts.port  # raises ValueError for a port that is none
    return parts.scheme + url[len(parts.scheme) :]
