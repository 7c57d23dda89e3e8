"""From settings to what the cycle runs on: plugins made, fingerprints taken."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from refresher.abilities import ImplyingVerifiers
from refresher.contract import Provider, Verifier
from refresher.errors import ConfigError, RefresherError
from refresher.model import Asset, NamedNotifier, NamedVerifier
from refresher.plugins import Kind, as_sharing
from refresher.settings.choices import Choices
from refresher.settings.models import AssetSettings, Choice, Settings
from refresher.settings.paths import Place, written
from refresher.sources import Sources, of_source
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


def assets(settings: Settings, shared: SharedParts) -> list[Asset]:
    """Each asset, ready to be refreshed; contacts nothing. Raises ConfigError with every plugin that can't be made."""
    made: list[Asset] = []
    problems: list[str] = []
    traffic = Traffic(connections=settings.transfers.connections, max_rate=settings.transfers.max_rate)
    for name, asset in settings.assets.items():
        try:
            made.append(replace(_asset(name, asset, settings.volume, shared), traffic=traffic))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(*problems)
    return made


def _asset(name: str, asset: AssetSettings, volume: Path, shared: SharedParts) -> Asset:
    place: Place = ("assets", name)
    provider, implied = _provider(asset, volume, shared, place)
    checks = [*asset.verify, *implied]
    source = _fetched(asset)
    if asset.render:
        from refresher.settings.rendered import rendered  # with all that files in memory need

        # What judges a source judges what it gave; the rest what was made of that.
        inputs = [*implied, *(check for check in asset.verify if check.source is not None)]
        provider, how = rendered(provider, asset, _verifiers(inputs, place), place)
        source.append(how)
    judged = [check for check in asset.verify if check.source is None] if asset.render else checks
    publish = asset.publish
    directory = publish.directory or volume / name
    return Asset(
        name=name,
        provider=provider,
        source=fingerprint(source),
        verifiers=_verifiers(judged, place),
        checks=fingerprint([[_check(check) for check in checks], _bounds(asset)]),
        # a directory elsewhere is its own volume: generations must be on the file system that they're swapped on
        volume=volume if volume in directory.parents else directory.parent,
        directory=directory,
        publish=publish,
        notifiers=tuple(_notifier(choice, (*place, "notify", number)) for number, choice in enumerate(asset.notify)),
        on_reject=asset.on_reject,
        settle=asset.settle,
        refresh=asset.refresh,
        limits=asset.limits,
        required=asset.required,
        unpack=asset.unpack,
        max_stale=asset.max_stale,
    )


def _verifiers(checks: Sequence[Choice], place: Place) -> tuple[NamedVerifier, ...]:
    return tuple(
        NamedVerifier(name=check.name, verifier=_verifier(check, (*place, "verify", number)))
        for number, check in enumerate(checks)
    )


def _provider(asset: AssetSettings, volume: Path, shared: SharedParts, place: Place) -> tuple[Provider, list[Choice]]:
    """Whom to ask, and the verifiers that this implies."""
    if asset.source is not None:
        return _source(asset.source, () if asset.render else asset.verify, volume, shared, (*place, "source"))
    sources: dict[str, Provider] = {}
    implied: list[Choice] = []
    for name, choice in asset.sources.items():
        listed = [check for check in asset.verify if check.source == name]
        sources[name], checks = _source(choice, listed, volume, shared, (*place, "sources", name))
        implied += [replace(check, source=name) for check in checks]
    return Sources(sources, timeout=asset.refresh.timeout), implied


def _source(
    choice: Choice, listed: Sequence[Choice], volume: Path, shared: SharedParts, place: Place
) -> tuple[Provider, list[Choice]]:
    provider = _made(choice, place, **shared.arguments(choice.plugin))
    return provider, _implied(provider, listed, volume, (*place, choice.name))


def _verifier(choice: Choice, place: Place) -> Verifier:
    verifier: Verifier = _made(choice, place)
    return verifier if choice.source is None else of_source(choice.source, verifier)


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


def _fetched(asset: AssetSettings) -> list[object]:
    """What is fetched, and made of it."""
    unpack = ["unpack"] if asset.unpack else []
    if asset.source is not None:
        return [*_asked(asset.source), *unpack]
    return ["sources", {name: _asked(choice) for name, choice in asset.sources.items()}, *unpack]


def _asked(choice: Choice) -> list[object]:
    """What is asked for, without how it's reached: a new timeout or token is no reason to fetch everything again."""
    connection: frozenset[str] = getattr(choice.plugin.Options, "connection", frozenset())
    options = {key: value for key, value in _dumped(choice.options).items() if key not in connection}
    return [choice.name, options]


def _check(choice: Choice) -> object:
    """The options, and the content of the local files they name: new roots at the same path are a new check."""
    files = {str(path): _content_digest(path) for path in sorted(_local_files(choice.options.model_dump()))}
    return [choice.name, _dumped(choice.options), files, *([] if choice.source is None else [choice.source])]


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
