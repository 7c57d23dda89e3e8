"""The configuration's sections, as pydantic reads them.

`read.py` makes a `Settings` out of a file and the environment; the plugins' parts are already validated by then, each
by its plugin's own `Options`, and arrive here as `Choice`s.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from refresher.address import TCP_PATTERN, Address, Tcp, Unix, parse_address
from refresher.filenames import names_problem
from refresher.model import ASSET_NAME, LayoutName, Limits, OnReject, Publish, Refresh
from refresher.options import Duration, ReadBy, Secret, Size
from refresher.plugins import Kind
from refresher.render.entries import Entry
from refresher.settings.problems import REFUSED
from refresher.traffic import CONNECTIONS

DEFAULT_VOLUME = Path("/shared")
SLOWEST = 64 * 1024
"""Bytes a second. Below, 1 MiB rests for more than 16 s, and servers close connections that rest for long."""
SOURCE_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""What one of an asset's sources may be called: a name that fits into a path and into a variable."""
_OWNER = re.compile(r"[0-9]+(:[0-9]+)?")


def parse_listen(value: object) -> Address | None:
    """`127.0.0.1:8470` or `unix:/path`; None for `off`, which YAML reads as false. Raises ValueError."""
    if value is None or isinstance(value, Address):
        return value
    if value is False or value == "off":
        return None
    try:
        return parse_address(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError("must be host:port, unix:/path, or off") from None


def parse_tcp(value: object) -> Tcp | None:
    """The same without `unix:`. Raises ValueError."""
    try:
        address = parse_listen(value)
    except ValueError:
        raise ValueError("must be host:port, or off") from None
    if isinstance(address, Unix):
        raise ValueError("must be host:port, or off")  # noqa: TRY004 - a wrong value, not a wrong type
    return address


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A plugin that the configuration names, and the options that it is to be made with.

    `initial` is a notifier's: whether it's told of the first generation after a pod's start. `source` is a verifier's:
    the name of the one source whose files it judges, None for all.
    """

    kind: Kind
    name: str
    plugin: type[Any]
    options: BaseModel
    initial: bool = True
    source: str | None = None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> CoreSchema:
        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, Any]:
        return {}  # schema.py knows how an entry is written, because it knows which plugins there are


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _refuse(wrong: Mapping[str, str], section: object, *, below: tuple[str, ...] = ()) -> None:
    """Raise for each key that is wrong, with its sentence; as pydantic's own error, so that the key's path is kept."""
    lines = [
        InitErrorDetails(
            type=PydanticCustomError(REFUSED, "{why}", {"why": why}), loc=(key, *below), input=getattr(section, key)
        )
        for key, why in wrong.items()
    ]
    if lines:
        raise ValidationError.from_exception_data(type(section).__name__, lines)


def _publishable(publish: Publish) -> Publish:
    wrong = {}
    if publish.keep < 1:
        wrong["keep"] = "must be at least 1, because the current generation counts"
    if publish.owner is not None and not _OWNER.fullmatch(publish.owner):
        wrong["owner"] = "must be a user id, or a user and a group id such as 1000:1000, in digits"
    if publish.group is not None and not publish.group.isdecimal():
        wrong["group"] = "must be a group id, in digits"
    elif publish.group is not None and ":" in (publish.owner or ""):
        wrong["group"] = "is given twice, here and in owner"
    _refuse(wrong, publish)
    return publish


def _possible(refresh: Refresh) -> Refresh:
    wrong = {}
    if not refresh.timeout:
        wrong["timeout"] = "must be longer than 0"
    if not refresh.renew_at:
        wrong["renew_at"] = "must be more than 0, or what was fetched would be due again at once"
    _refuse(wrong, refresh)
    return refresh


def _roomy(limits: Limits) -> Limits:
    names = ("file", "total", "files", "connections", "ratio")
    wrong = {name: "must be more than 0" for name in names if getattr(limits, name) < 1}
    _refuse(wrong | _too_slow(limits.max_rate), limits)
    return limits


def _too_slow(max_rate: int | None) -> dict[str, str]:
    return {"max_rate": "must be at least 64KiB"} if max_rate is not None and max_rate < SLOWEST else {}


def _as_template(written: object) -> object:
    """A text alone is the path of a template."""
    return {"template": written} if isinstance(written, str) else written


PublishSection = Annotated[Publish, AfterValidator(_publishable)]
RefreshSection = Annotated[Refresh, AfterValidator(_possible)]
LimitsSection = Annotated[Limits, AfterValidator(_roomy)]
EntrySection = Annotated[Entry, BeforeValidator(_as_template, json_schema_input_type=str | Entry)]


_OFF = {"const": False}
Listen = Annotated[
    Tcp | Unix | None,
    ReadBy(parse_listen, str, {"anyOf": [{"type": "string", "pattern": f"^(off|unix:/.+|{TCP_PATTERN})$"}, _OFF]}),
]
ListenTcp = Annotated[
    Tcp | None,
    ReadBy(parse_tcp, str, {"anyOf": [{"type": "string", "pattern": f"^(off|{TCP_PATTERN})$"}, _OFF]}),
]


class Control(Section):
    """The local API."""

    listen: Listen = Tcp("127.0.0.1", 8470)
    hosts: tuple[str, ...] = ()
    token: Secret | None = None

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if isinstance(self.listen, Tcp) and not self.listen.loopback and self.token is None:
            _refuse({"token": "is required when listen is neither loopback nor a Unix socket"}, self)
        return self


class Probes(Section):
    """The listener of /livez, /readyz and /metrics."""

    listen: ListenTcp = Tcp("0.0.0.0", 8471)  # noqa: S104 - kubelet comes from outside


class Transfers(Section):
    """What all assets share of the network: connections beyond each one's first, and bytes a second."""

    connections: int = CONNECTIONS
    max_rate: Size | None = None

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        wrong = {"connections": "must be 0 or more"} if self.connections < 0 else {}
        _refuse(wrong | _too_slow(self.max_rate), self)
        return self


class Defaults(Section):
    """What assets are given that they don't say themselves."""

    publish: PublishSection | None = None
    refresh: RefreshSection | None = None
    required: bool | None = None
    max_stale: Duration | None = None
    limits: LimitsSection | None = None


SourceName = Annotated[str, StringConstraints(pattern=SOURCE_NAME)]


class AssetSettings(Section):
    """One thing to keep fresh, with exactly one of `source` and `sources`."""

    source: Choice | None = None
    sources: dict[SourceName, Choice] = Field(default_factory=dict, min_length=1)
    unpack: bool = False
    render: dict[str, EntrySection] = Field(default_factory=dict)
    verify: tuple[Choice, ...] = ()
    publish: PublishSection = Field(default_factory=Publish)
    notify: tuple[Choice, ...] = ()
    settle: Duration = timedelta(seconds=1)
    on_reject: OnReject = OnReject.KEEP
    refresh: RefreshSection = Field(default_factory=Refresh)
    required: bool = True
    max_stale: Duration | None = None
    limits: LimitsSection = Field(default_factory=Limits)

    @property
    def all_sources(self) -> tuple[Choice, ...]:
        """The one source, or the several."""
        return tuple(self.sources.values()) if self.source is None else (self.source,)

    @model_validator(mode="after")
    def _from_somewhere(self) -> Self:
        # Not by their values: one that couldn't be chosen, which was told already, is None.
        given = self.model_fields_set & {"source", "sources"}
        if not given:
            _refuse({"source": "is missing; several go into sources"}, self)
        if len(given) > 1:
            _refuse({"sources": "must not be given beside source: an asset has one of both"}, self)
        if self.sources and not self.render and self.publish.layout is LayoutName.FILE:
            why = "must have another layout than file, which shows one file, and sources have a directory each"
            _refuse({"publish": why}, self)
        return self

    @model_validator(mode="after")
    def _renderable(self) -> Self:
        if self.render and self.unpack:
            _refuse({"unpack": "does not go together with render"}, self)
        if problem := names_problem(list(self.render)):
            name, why = problem
            _refuse({"render": why}, self, below=(name,))
        return self


AssetName = Annotated[str, StringConstraints(pattern=ASSET_NAME)]


class Settings(BaseSettings):
    """The whole configuration, with each asset's directory absolute."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    volume: Path = DEFAULT_VOLUME
    control: Control = Field(default_factory=Control)
    probes: Probes = Field(default_factory=Probes)
    transfers: Transfers = Field(default_factory=Transfers)
    providers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    defaults: Defaults = Field(default_factory=Defaults)
    assets: dict[AssetName, AssetSettings] = Field(min_length=1)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.probes.listen and self.probes.listen.port and self.probes.listen == self.control.listen:
            _refuse({"probes": "must listen elsewhere than control"}, self)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `read` passes in: an override has to fit the file, and every problem has to be told at once."""
        return (init_settings,)
