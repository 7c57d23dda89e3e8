"""What a `vault` source can say, and the URL form of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from providers.vault.pki.options import PkiOptions
from refresher.options import Duration, Secret

SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""Where the kubelet mounts a pod's own token."""

_OPTIONS = frozenset(
    {"address", "auth", "ca_overlap", "data", "fields", "file", "files", "key", "reuse_key", "version"}
)
"""Options that somebody might put into a URL; those that are also a parameter of an engine are not among them."""

_ENDINGS = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".env": "env"}
_MOUNT = re.compile(r"[^/\s?#%]+(/[^/\s?#%]+)*")


def _path(value: str) -> str:
    """`secret/app`; slashes around it and the API's own `v1/` don't matter."""
    parts = value.strip("/").removeprefix("v1/").split("/")
    if any(part in ("", ".", "..") for part in parts) or not value.isprintable():
        raise ValueError("must be a full API path such as pki/issue/web or secret/app")
    return "/".join(parts)


def _mount(value: str) -> str:
    """Where a login method is enabled, without `auth/`."""
    mount = value.strip("/").removeprefix("auth/")
    if not _MOUNT.fullmatch(mount):
        raise ValueError("must be the path of a login method, such as kubernetes")
    return mount


def valid_address(value: str) -> str:
    """`https://vault:8200`, perhaps with a path before the API's own. Raises ValueError."""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        valid = False
    if not valid or value.partition("#")[0].partition("?")[0] != value:
        raise ValueError("must be an address such as https://vault:8200")
    return value.rstrip("/")


ApiPath = Annotated[str, AfterValidator(_path)]
Mount = Annotated[str, AfterValidator(_mount)]
Address = Annotated[str, AfterValidator(valid_address)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential(Secret):
    """A secret by reference that may be response-wrapped: then a wrapping token is in its place.

    `creation_path` is where it has to have been made, `*` for any one part of the path; None: where such are made.
    """

    wrapped: bool = False
    creation_path: ApiPath | None = None

    def __post_init__(self) -> None:
        Secret.__post_init__(self)  # `super()` doesn't know a class that `slots` made anew
        if self.creation_path is not None and not self.wrapped:
            raise ValueError("creation_path needs wrapped: true")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AppRole(_Section):
    """Log in as a machine; the secret id may be left out if the role doesn't ask for one."""

    role_id: Secret
    secret_id: Credential | None = None
    mount: Mount = "approle"


class Kubernetes(_Section):
    """Log in as the pod's service account."""

    role: str
    mount: Mount = "kubernetes"
    token_file: Path = SERVICE_ACCOUNT_TOKEN


class Jwt(_Section):
    """Log in with a JSON Web Token."""

    role: str
    mount: Mount = "jwt"
    token_file: Path


class Certificate(_Section):
    """Log in with a TLS client certificate; the role named, or the one that matches."""

    cert_file: Path
    key_file: Path
    mount: Mount = "cert"
    name: str | None = None


class Userpass(_Section):
    """Log in with a user name and a password."""

    username: Annotated[str, Field(pattern=r"^[^/]+$")]
    password: Secret
    mount: Mount = "userpass"


class Aws(_Section):
    """Log in as the AWS identity that this machine has; `server_id` is the value the method demands, if it does.

    Tested against requests and answers of the recorded shape only, neither against AWS nor against a real server.
    """

    role: str
    mount: Mount = "aws"
    region: str = "us-east-1"
    server_id: str | None = None


class Auth(_Section):
    """How to log in: exactly one of these."""

    token: Credential | None = None
    approle: AppRole | None = None
    kubernetes: Kubernetes | None = None
    jwt: Jwt | None = None
    cert: Certificate | None = None
    userpass: Userpass | None = None
    aws: Aws | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1 or getattr(self, next(iter(self.model_fields_set))) is None:
            raise ValueError(f"must be exactly one of {', '.join(type(self).model_fields)}")
        return self


class Format(StrEnum):
    """How one document is written."""

    JSON = "json"
    YAML = "yaml"
    ENV = "env"
    RAW = "raw"


class VaultOptions(PkiOptions):
    """A `vault` source: where the server is, how to log in, what to read there, and which files it becomes.

    What isn't said of the server and of the login may be said in the environment: see `reach`.
    With `data` the path is written to (issue or sign a certificate), else it's read. What is for certificates only is
    in `PkiOptions`.
    """

    connection: ClassVar[frozenset[str]] = frozenset(
        {"auth", "timeout", "ca_file", "cert_file", "key_file", "tls_server_name", "revoke_on_exit"}
    )
    """The options that say how to get there rather than what is there."""

    path: ApiPath
    data: dict[str, Any] | None = None
    version: Annotated[int, Field(ge=1)] | None = None
    fields: tuple[str, ...] | dict[str, str] | None = None
    file: str | None = None
    format: Format | None = None
    address: Address | None = None
    namespace: str | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    tls_server_name: str | None = None
    auth: Auth | None = None
    timeout: Annotated[Duration, Field(json_schema_extra={"default": "30s"})] = timedelta(seconds=30)
    revoke_on_exit: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.fields is not None and not self.fields:
            raise ValueError("fields must name at least one field")
        if self.version is not None and self.data is not None:
            raise ValueError("version chooses what is read, and data are written: give one of them")
        if self.format is not None and self.file is None:
            raise ValueError("format needs file, the document's name")
        if self.file is not None and self.document_format is None:
            raise ValueError("format must say how the file is written: json, yaml, env or raw")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
        if not self.timeout:
            raise ValueError("timeout must be longer than 0")
        return self

    @model_validator(mode="after")
    def _revokes_its_own(self) -> Self:
        if self.revoke_on_exit and (self.auth is None or self.auth.token is not None):
            raise ValueError("revoke_on_exit needs a login in auth: a token that was given to refresher isn't its own")
        return self

    @property
    def token_file(self) -> Path | None:
        """The file in which the user keeps a token fresh, None if there is none."""
        return self.auth.token.file if self.auth and self.auth.token else None

    @property
    def document_format(self) -> Format | None:
        """How `file` is written, told by its ending if `format` isn't there."""
        if self.format is not None or self.file is None:
            return self.format
        ending = _ENDINGS.get(Path(self.file).suffix) or _ENDINGS.get(self.file)
        return Format(ending) if ending else None

    @property
    def file_names(self) -> Mapping[str, str] | None:
        """{file name: field} of the fields chosen, None for all."""
        if self.fields is None or isinstance(self.fields, dict):
            return self.fields
        return {field: field for field in self.fields}


def options_from_url(url: str) -> dict[str, Any]:
    """`vault://PATH[?name=value…][#field]`: parameters mean a write, one given twice is a list. Raises ValueError."""
    parts = urlsplit(url)
    if not parts.netloc or not parts.path.strip("/"):
        raise ValueError("must be vault://PATH with the mount first, such as vault://pki/issue/web")
    options: dict[str, Any] = {"path": unquote(parts.netloc + parts.path)}
    if parts.query:
        given = parse_qs(parts.query, keep_blank_values=True, strict_parsing=True)
        _refuse_options(given)
        options["data"] = {name: values[0] if len(values) == 1 else values for name, values in given.items()}
    if parts.fragment:
        options["fields"] = [unquote(parts.fragment)]
    return options


def _refuse_options(given: Mapping[str, object]) -> None:
    """What is meant for us must not be written to the path: a `version` in a URL would overwrite a secret with it."""
    ours = sorted(_OPTIONS & given.keys())
    if ours:
        names = ", ".join(ours)
        raise ValueError(f"what follows the ? is written to the path; write source: {{vault: {{…}}}} to set {names}")
