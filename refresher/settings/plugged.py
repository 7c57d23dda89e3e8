"""Plugins made from what the configuration chose."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from refresher import able
from refresher.abilities import ImplyingVerifiers
from refresher.bug import places_of
from refresher.contract import Provider, Verifier
from refresher.errors import ConfigError, RefresherError
from refresher.model import NamedNotifier, NamedVerifier
from refresher.plugins import Kind, as_sharing
from refresher.settings.choices import Choices
from refresher.settings.fingerprints import dumped, fingerprint
from refresher.settings.models import AssetSettings, Choice
from refresher.settings.paths import Place, written


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


def provider(asset: AssetSettings, shared: SharedParts, place: Place) -> Provider:
    """Whom to ask, for one source or for several. Raises ConfigError, and then keeps nothing that was made."""
    if asset.source is not None:
        return _source(asset.source, shared, (*place, "source"))
    from refresher.sources import Sources  # loaded by those who have several

    sources: dict[str, Provider] = {}
    with ExitStack() as unless_made:
        for name, choice in asset.sources.items():
            sources[name] = _source(choice, shared, (*place, "sources", name))
            unless_made.callback(able.close, sources[name])
        unless_made.pop_all()
    return Sources(sources, timeout=asset.refresh.timeout)


def refuse_unsaid(provider: Provider, place: Place) -> None:
    """Raise ConfigError if it can't say what it is asked in the middle of a change, where nothing may fail."""
    try:
        _ = able.endpoint(provider), tuple(able.watched(provider)), able.followed(provider)
    except Exception as error:  # noqa: BLE001 - a plugin's bug; its text may quote a secret
        what = error if isinstance(error, RefresherError) else f"unexpected {places_of(error)}"
        raise ConfigError(f"{written(place)}: its provider can't say where to ask: {what}") from None


def implied(asset: AssetSettings, provider: Provider, volume: Path, place: Place) -> list[Choice]:
    """The verifiers that the asset's sources bring, without those that the user listed with options of their own."""
    if asset.source is not None:
        # Of what is rendered, other files are listed verifiers' than those that the source implies something of.
        listed = () if asset.render else asset.verify
        return _implied_by(provider, listed, volume, (*place, "source", asset.source.name))
    from refresher.sources import Sources

    found: list[Choice] = []
    for name, source in provider.sources.items() if isinstance(provider, Sources) else ():
        listed = tuple(check for check in asset.verify if check.source == name)
        checks = _implied_by(source, listed, volume, (*place, "sources", name, asset.sources[name].name))
        found += [replace(check, source=name) for check in checks]
    return found


def verifiers(checks: Sequence[Choice], place: Place) -> tuple[NamedVerifier, ...]:
    """What judges the files, or those of one source."""
    return tuple(
        NamedVerifier(name=check.name, verifier=_verifier(check, (*place, "verify", number)))
        for number, check in enumerate(checks)
    )


def notifier(choice: Choice, place: Place) -> NamedNotifier:
    """Who tells the app, under a key that is another one for other options."""
    key = f"{choice.name}-{fingerprint(dumped(choice.options)).removeprefix('sha256:')[:12]}"
    return NamedNotifier(name=choice.name, key=key, notifier=_made(choice, place), initial=choice.initial)


def _source(choice: Choice, shared: SharedParts, place: Place) -> Provider:
    source: Provider = _made(choice, place, **shared.arguments(choice.plugin))
    return source


def _verifier(choice: Choice, place: Place) -> Verifier:
    verifier: Verifier = _made(choice, place)
    if choice.source is None:
        return verifier
    from refresher.sources import of_source

    return of_source(choice.source, verifier)


def _implied_by(provider: Provider, listed: Sequence[Choice], volume: Path, place: Place) -> list[Choice]:
    if not isinstance(provider, ImplyingVerifiers):
        return []
    choices = Choices(volume=volume)
    found = choices.listed(Kind.VERIFIER, provider.implied_verify, (*place, "implied_verify"))
    if choices.problems:
        raise ConfigError(*(f"{written(at)}: {sentence}" for at, sentence in choices.problems))
    names = {choice.name for choice in listed}
    return [choice for choice in found if choice is not None and choice.name not in names]


def _made(choice: Choice, place: Place, **shared: object) -> Any:
    try:
        return choice.plugin(choice.options, **shared)
    except RefresherError as error:
        raise ConfigError(f"{written((*place, choice.name))}: {error}") from error
