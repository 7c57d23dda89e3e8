"""Plugins by name: each kind has an entry-point group, and only what is named gets imported."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from refresher.contract import FileSet, Lease, Provider
from refresher.errors import ConfigError


class Kind(StrEnum):
    """What a plugin can be; the value is the last word of its entry-point group."""

    PROVIDER = "providers"
    VERIFIER = "verifiers"
    NOTIFIER = "notifiers"

    @property
    def noun(self) -> str:
        """One of the kind, for messages."""
        return self.value.removesuffix("s")


@runtime_checkable
class FromUrl(Protocol):
    """A provider class whose sources can be written as a URL."""

    @staticmethod
    def from_url(url: str) -> Mapping[str, Any]:
        """The options that the URL stands for; ValueError if it can't be one of this provider's."""
        ...


@runtime_checkable
class Sharing(Protocol):
    """A provider class whose instances share something, made once per process."""

    @property
    def Shared(self) -> type[object]:  # noqa: N802 - a class inside the plugin's class
        """Called without arguments; what it makes is passed as `shared=`."""
        ...


@runtime_checkable
class ImplyingVerifiers(Protocol):
    """A provider with verifiers that apply even if the user lists none."""

    @property
    def implied_verify(self) -> Sequence[object]:
        """Entries as in the configuration: a name, or `{name: options}`."""
        ...


@runtime_checkable
class Watched(Protocol):
    """A provider whose source, or a credential for it, is local, so that changes there can trigger a look at once."""

    @property
    def watched(self) -> Sequence[Path]:
        """The directories to watch, perhaps none."""
        ...


@runtime_checkable
class Building(Protocol):
    """A provider that makes the new out of what is published."""

    def building_on(self, published: FileSet | None) -> Provider:
        """The provider for one fetch, given what readers see now."""
        ...


@runtime_checkable
class Rechecking(Protocol):
    """A provider that can look after what it made anew without making it again."""

    @property
    def rechecks(self) -> bool:
        """Whether it does so, with these options."""
        ...


@runtime_checkable
class Revoking(Protocol):
    """A provider that can end a lease before its time."""

    def revoke(self, lease: Lease) -> None:
        """End it. Raises TransientError, or PermanentError if it has to run out by itself."""
        ...


def as_from_url(provider: object) -> FromUrl | None:
    """The provider class, if its sources can be written as a URL."""
    return provider if isinstance(provider, FromUrl) else None


def as_sharing(provider: object) -> Sharing | None:
    """The provider class, if its instances share something."""
    return provider if isinstance(provider, Sharing) else None


def installed(kind: Kind) -> list[str]:
    """The names of all installed plugins of this kind, sorted; imports none of them."""
    return sorted(entry_points(group=_group(kind)).names)


def plugin(kind: Kind, name: str) -> type[Any]:
    """The class behind a name. Raises ConfigError if there is no such plugin, or several, or it can't be imported."""
    found = entry_points(group=_group(kind), name=name)
    if not found:
        raise ConfigError(_unknown(kind, name))
    if len({point.value for point in found}) > 1:
        packages = ", ".join(sorted({_package(point) for point in found}))
        raise ConfigError(f"the {kind.noun} {name!r} comes from several packages ({packages}); keep one of them")
    return _loaded(kind, next(iter(found)))


def _group(kind: Kind) -> str:
    return f"refresher.{kind}"


def _unknown(kind: Kind, name: str) -> str:
    names = installed(kind)
    close = get_close_matches(name, names, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return f"there is no {kind.noun} {name!r}; {meant}installed are: {', '.join(names) or 'none'}"


def _loaded(kind: Kind, point: EntryPoint) -> type[Any]:
    described = f"the {kind.noun} {point.name!r} of package {_package(point)}"
    try:
        found = point.load()
    except Exception as error:  # a plugin's import runs anybody's code, and whatever that raises is the user's to read
        raise ConfigError(f"{described} can't be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, type) or not isinstance(getattr(found, "Options", None), type):
        raise ConfigError(f"{described} is not a plugin: {point.value} must be a class with an Options model")
    return found


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value.partition(":")[0]
