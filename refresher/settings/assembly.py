"""All assets of a configuration: made, or taken over from the configuration before, as far as nothing differs."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from refresher import able
from refresher.errors import ConfigError
from refresher.model import Asset
from refresher.settings.build import build
from refresher.settings.fingerprints import Content, checked_files, digests
from refresher.settings.models import AssetSettings, Settings
from refresher.settings.plugged import SharedParts
from refresher.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """A configuration, its assets by name, what else each of them was made of, and what they share of the network."""

    settings: Settings
    assets: dict[str, Asset] = field(default_factory=dict)
    contents: dict[str, Content] = field(default_factory=dict)
    traffic: Traffic

    def files(self) -> set[Path]:
        """The local files that make its assets what they are, whether they are there or not."""
        return {path for content in self.contents.values() for path in content}

    def unchanged(self, name: str, asset: AssetSettings, content: Content, volume: Path) -> Asset | None:
        """The asset, if it would be made just the same from another configuration."""
        made_of = self.settings.assets.get(name), self.contents.get(name), self.settings.volume
        return self.assets[name] if made_of == (asset, content, volume) else None

    def is_outdated(self) -> bool:
        """Whether a file that makes an asset what it is has other content by now."""
        return any(digests(content) != content for content in self.contents.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The names of the assets by what became of them."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    kept: list[str]

    def __str__(self) -> str:
        news = {"added": self.added, "changed": self.changed, "removed": self.removed}
        told = [f"{what} {', '.join(names)}" for what, names in news.items() if names]
        return "; ".join([*told, f"{len(self.kept)} as before" if told else "nothing differs"])


def assemble(settings: Settings, shared: SharedParts, before: Assembly | None = None) -> Assembly:
    """Each asset, ready to be refreshed; those that would be the same as `before` are the very same objects.

    Contacts nothing. Raises ConfigError with every plugin that can't be made; whatever it raises, nothing is kept then.
    """
    transfers = settings.transfers
    traffic = before.traffic if before else Traffic(connections=transfers.connections, max_rate=transfers.max_rate)
    found: dict[str, Asset] = {}
    contents: dict[str, Content] = {}
    problems: list[str] = []
    with ExitStack() as unless_made:
        for name, asset in settings.assets.items():
            # Before it is made: what changes meanwhile is found to differ at the next reading.
            contents[name] = content = digests(_files_of(asset))
            if same := before and before.unchanged(name, asset, content, settings.volume):
                found[name] = same
                continue
            try:
                found[name] = build(name, asset, volume=settings.volume, shared=shared, traffic=traffic)
                unless_made.callback(able.close, found[name].provider)
            except ConfigError as error:
                problems.extend(error.problems)
        if problems:
            raise ConfigError(*problems)
        unless_made.pop_all()
    return Assembly(settings=settings, assets=found, contents=contents, traffic=traffic)


def named_files(settings: Settings) -> set[Path]:
    """The local files that make assets what they are, whether they are there or not."""
    return {path for asset in settings.assets.values() for path in _files_of(asset)}


def _files_of(asset: AssetSettings) -> set[Path]:
    """What the asset is made of besides its settings: the files that its verifiers name, and its templates."""
    if not asset.render:
        return checked_files(asset)
    from refresher.settings.rendered import template_files  # with all that files in memory need

    return checked_files(asset) | template_files(asset)


def difference(before: Assembly, after: Assembly) -> Difference:
    """What became of each asset."""
    both = [name for name in after.assets if name in before.assets]
    return Difference(
        added=[name for name in after.assets if name not in before.assets],
        changed=[name for name in both if after.assets[name] is not before.assets[name]],
        removed=[name for name in before.assets if name not in after.assets],
        kept=[name for name in both if after.assets[name] is before.assets[name]],
    )


def assets(settings: Settings, shared: SharedParts) -> list[Asset]:
    """Each asset of a configuration, as `assemble` makes it."""
    return list(assemble(settings, shared).assets.values())
