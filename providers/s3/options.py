"""Where the objects are, and as whom to ask for them."""

import re
from ipaddress import ip_address
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from refresher.options import Secret

Text = Annotated[str, Field(min_length=1)]
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)


class S3Options(BaseModel):
    """Where the objects are: `key`, or `prefix` (empty: the whole bucket; else with its final slash), or `current`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    connection: ClassVar[frozenset[str]] = frozenset(
        {"region", "addressing_style", "profile", "role_arn", "external_id", "role_session_name"}
    ) | frozenset({"request_payer", "sse_customer_key"})

    bucket: Text
    key: Text | None = None
    prefix: str | None = None
    current: Text | None = None
    version_id: Text | None = None
    endpoint_url: str | None = None
    region: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    profile: Text | None = None
    role_arn: Text | None = None
    external_id: Text | None = None
    role_session_name: Text = "refresher"
    request_payer: Literal["requester"] | None = None
    sse_customer_key: Secret | None = None
    name: str | None = None

    @field_validator("key", "prefix", "current")
    @classmethod
    def _askable(cls, key: str | None) -> str | None:
        # HTTP libraries and proxies take dot segments out of a URL, and what is left is another object's.
        if key and {".", ".."} & set(key.split("/")):
            raise ValueError("must have no part that is . or ..")
        return key

    @field_validator("prefix")
    @classmethod
    def _whole_segments(cls, prefix: str | None) -> str | None:
        if prefix and not prefix.endswith("/"):
            raise ValueError("must end with a slash")
        return prefix

    @field_validator("current")
    @classmethod
    def _an_object(cls, key: str | None) -> str | None:
        if key and key.endswith("/"):
            raise ValueError("must be the key of an object, and not end with a slash")
        return key

    @field_validator("endpoint_url")
    @classmethod
    def _without_login(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "https://default")
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError("must be an http:// or https:// URL, without a user name or password")
        return url

    @field_validator("role_session_name")
    @classmethod
    def _session_name(cls, name: str) -> str:
        if not _SESSION_NAME.fullmatch(name):
            raise ValueError("must be 2 to 64 letters, digits and characters of _+=,.@-")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(where is not None for where in (self.key, self.prefix, self.current)) != 1:
            raise ValueError("must have exactly one of key, prefix and current")
        if self.key is None and (self.version_id or self.name):
            raise ValueError("version_id and name are for a single key")
        if self.key is not None and self.file_name in ("", ".", ".."):
            raise ValueError("key must end with a file name, or `name` be one")
        if self.external_id and not self.role_arn:
            raise ValueError("external_id needs role_arn")
        if self.sse_customer_key and not _is_private(self.endpoint_url):
            raise ValueError("sse_customer_key needs an https:// endpoint, because the key is sent with each request")
        return self

    @property
    def file_name(self) -> str:
        """`name`, else the key's last segment."""
        return self.name if self.name is not None else (self.key or "").rpartition("/")[2]

    @property
    def place(self) -> str:
        """The source as a URL, for messages."""
        return f"s3://{self.bucket}/{self.key or self.current or self.prefix}"


def _is_private(endpoint: str | None) -> bool:
    """Whether nobody can read on the way there: TLS, or this machine."""
    parts = urlsplit(endpoint or "https://default")
    try:
        return parts.scheme == "https" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"
