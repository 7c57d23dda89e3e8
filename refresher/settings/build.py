"""From the settings of one asset to what the cycle runs on."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from refresher import able
from refresher.contract import Provider
from refresher.model import Asset, NamedVerifier
from refresher.settings import fingerprints
from refresher.settings.models import AssetSettings, Choice
from refresher.settings.paths import Place
from refresher.settings.plugged import SharedParts, implied, notifier, provider, refuse_unsaid, verifiers
from refresher.traffic import Traffic


def build(name: str, asset: AssetSettings, *, volume: Path, shared: SharedParts, traffic: Traffic) -> Asset:
    """The asset, ready to be refreshed; contacts nothing. Raises ConfigError if one of its plugins can't be made."""
    place: Place = ("assets", name)
    with ExitStack() as unless_made:
        source = provider(asset, shared, place)
        unless_made.callback(able.close, source)
        refuse_unsaid(source, (*place, "source" if asset.source else "sources"))
        brought = implied(asset, source, volume, place)
        asked, judges, rendered_by = _rendered(asset, source, brought, place)
        directory = asset.publish.directory or volume / name
        made = Asset(
            name=name,
            provider=asked,
            source=fingerprints.of_source(asset, rendered_by),
            verifiers=judges,
            checks=fingerprints.of_checks(asset, [*asset.verify, *brought]),
            # a directory elsewhere is its own volume: generations must be on the file system that they're swapped on
            volume=volume if volume in directory.parents else directory.parent,
            directory=directory,
            publish=asset.publish,
            notifiers=tuple(notifier(choice, (*place, "notify", at)) for at, choice in enumerate(asset.notify)),
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


def _rendered(
    asset: AssetSettings, source: Provider, brought: Sequence[Choice], place: Place
) -> tuple[Provider, tuple[NamedVerifier, ...], str | None]:
    """Whom the cycle asks, what judges the files that come of it, and the digest of how they are rendered, if so."""
    if not asset.render:
        return source, verifiers([*asset.verify, *brought], place), None
    from refresher.settings.rendered import rendering  # with all that files in memory need

    # What judges a source judges what it gave; the rest what was made of that.
    inputs = [*brought, *(check for check in asset.verify if check.source is not None)]
    outputs = [check for check in asset.verify if check.source is None]
    asked, digest = rendering(source, asset, verifiers(inputs, place), place)
    return asked, verifiers(outputs, place), digest
