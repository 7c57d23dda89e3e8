"""From settings to what the cycle runs on: plugins made, fingerprints taken."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from refresher.abilities import Closable, ImplyingVerifiers
from refresher.contract import Provider
from refresher.errors import ConfigError, RefresherError
from refresher.model import Asset, NamedNotifier, NamedVerifier
from refresher.plugins import Kind, as_sharing
from refresher.settings.choices import Choices
from refresher.settings.models import AssetSettings, Choice
from refresher.settings.paths import Place, written
from refresher.traffic import Traffic

CHECKED_FILE_LIMIT = 16 * 1024 * 1024
"""Bytes of a local file that a verifier names; larger ones are known by their path only."""


class SharedParts:
    """What the providers of one kind share, made when the first of them is; one instance for the whole process."""

    def __init__(self) -> None:
        self._made: dict[type[Any], object] = {}

    def arguments(self, provider: type[Any]) -> dict[str, object]:
        """The keyword arguments that this provider takes besides its options."""
        sharing = as_sharing(provider)
        if sharing is None:
            return {}
        if provider not in self._made:
            self._made[provider] = sharing.Shared()
        return {"shared": self._made[provider]}

    def close(self) -> None:
        """Close everything that was made and can be closed."""
        while self._made:
            _, part = self._made.popitem()
            close = getattr(part, "close", None)
            if close is not None:
                close()


def build(name: str, asset: AssetSettings, *, volume: Path, shared: SharedParts, traffic: Traffic) -> Asset:
    """The asset, ready to be refreshed; contacts nothing. Raises ConfigError if one of its plugins can't be made."""
    place: Place = ("assets", name)
    with ExitStack() as unless_made:
        provider = _made(asset.source, (*place, "source"), **shared.arguments(asset.source.plugin))
        unless_made.callback(closed, provider)
        checks = _checks(name, asset, provider, volume)
        publish = asset.publish
        directory = publish.directory or volume / name
        made = Asset(
            name=name,
            provider=provider,
            source=fingerprint(_source(asset)),
            verifiers=tuple(
                NamedVerifier(name=check.name, verifier=_made(check, (*place, "verify", number)))
                for number, check in enumerate(checks)
            ),
            checks=_checks_fingerprint(checks, asset),
            # a directory elsewhere is its own volume: generations must be on the file system that they're swapped on
            volume=volume if volume in directory.parents else directory.parent,
            directory=directory,
            publish=publish,
            notifiers=tuple(
                _notifier(choice, (*place, "notify", number)) for number, choice in enumerate(asset.notify)
            ),
            on_reject=asset.on_reject,
            settle=asset.settle,
            refresh=asset.refresh,
            limits=asset.limits,
            required=asset.required,
            unpack=asset.unpack,
            max_stale=asset.max_stale,
            traffic=traffic,
        )
        unless_made.pop_all()
        return made


def closed(provider: Provider) -> None:
    """Have a provider that nobody uses let go of what it holds."""
    if isinstance(provider, Closable):
        provider.close()


def is_checked_as(made: Asset, asset: AssetSettings, volume: Path) -> bool:
    """Whether these settings' checks are those that the asset was made with, the files that they name included."""
    return made.checks == _checks_fingerprint(_checks(made.name, asset, made.provider, volume), asset)


def checked_files(asset: AssetSettings) -> set[Path]:
    """The local files that its listed verifiers name."""
    return {path for check in asset.verify for path in _local_files(check.options.model_dump())}


def _checks(name: str, asset: AssetSettings, provider: object, volume: Path) -> list[Choice]:
    return [*asset.verify, *_implied(provider, asset.verify, volume, ("assets", name, "source", asset.source.name))]


def _checks_fingerprint(checks: Sequence[Choice], asset: AssetSettings) -> str:
    return fingerprint([[_check(check) for check in checks], _bounds(asset)])


def _made(choice: Choice, place: Place, **shared: object) -> Any:
    try:
        return choice.plugin(choice.options, **shared)
    except RefresherError as error:
        raise ConfigError(f"{written((*place, choice.name))}: {error}") from error


def _notifier(choice: Choice, place: Place) -> NamedNotifier:
    key = f"{choice.name}-{fingerprint(_dumped(choice.options)).removeprefix('sha256:')[:12]}"
    return NamedNotifier(name=choice.name, key=key, notifier=_made(choice, place), initial=choice.initial)


def _implied(provider: object, listed: Sequence[Choice], volume: Path, place: Place) -> list[Choice]:
    """The verifiers that the provider brings, without those that the user listed with options of their own."""
    if not isinstance(provider, ImplyingVerifiers):
        return []
    choices = Choices(volume=volume)
    found = choices.listed(Kind.VERIFIER, provider.implied_verify, (*place, "implied_verify"))
    if choices.problems:
        raise ConfigError(*(f"{written(at)}: {sentence}" for at, sentence in choices.problems))
    names = {choice.name for choice in listed}
    return [choice for choice in found if choice is not None and choice.name not in names]


def fingerprint(content: object) -> str:
    """`sha256:…` over the content as JSON with sorted keys and no spaces."""
    written_out = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return f"sha256:{hashlib.sha256(written_out.encode()).hexdigest()}"


def _dumped(options: BaseModel) -> dict[str, Any]:
    """Only what differs from the defaults, so that an option that a plugin learns later changes no fingerprint."""
    return options.model_dump(mode="json", exclude_defaults=True, fallback=str)


def _source(asset: AssetSettings) -> list[object]:
    """What is fetched, without how it's reached: a new timeout or token is no reason to fetch everything again."""
    choice = asset.source
    connection: frozenset[str] = getattr(choice.plugin.Options, "connection", frozenset())
    options = {key: value for key, value in _dumped(choice.options).items() if key not in connection}
    return [choice.name, options, *(["unpack"] if asset.unpack else [])]


def _check(choice: Choice) -> object:
    """The options, and the content of the local files they name: new roots at the same path are a new check."""
    files = {str(path): _content_digest(path) for path in sorted(_local_files(choice.options.model_dump()))}
    return [choice.name, _dumped(choice.options), files]


def _bounds(asset: AssetSettings) -> object:
    """The settings besides verifiers that content can be refused for; raising a limit is a new check."""
    limits = asset.limits
    ratio = [limits.ratio] if asset.unpack else []
    return [limits.file, limits.total, limits.files, asset.publish.layout, *ratio]


def _local_files(value: object) -> Iterator[Path]:
    if isinstance(value, Path) and value.is_absolute():
        yield value
    elif isinstance(value, Mapping):
        for below in value.values():
            yield from _local_files(below)
    elif isinstance(value, list | tuple | set | frozenset):
        for below in value:
            yield from _local_files(below)


def _content_digest(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > CHECKED_FILE_LIMIT:
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
