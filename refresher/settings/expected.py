"""Files that checks and confirmations look for, and that will never be there, where the configuration knows names.

A source's own names are known to nobody before it is asked. But what `render` makes has the names that stand there, and
what several sources bring is in directories of theirs.
"""

from collections.abc import Iterator

from pydantic import BaseModel

from refresher.model import LayoutName
from refresher.settings.models import AssetSettings, Settings
from refresher.settings.paths import Place


def never_there(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Each place that names a file that can't come, with a sentence that says which can."""
    for name, asset in settings.assets.items():
        place: Place = ("assets", name)
        if len(asset.render) > 1 and asset.publish.layout is LayoutName.FILE:
            several = f"must be another one than file, which shows one file: render makes {', '.join(asset.render)}"
            yield (*place, "publish", "layout"), several
        for at, file in _looked_for(asset):
            if why := _why_never(asset, file):
                yield (*place, *at), f"there will be no file {file!r}: {why}"


def _looked_for(asset: AssetSettings) -> Iterator[tuple[Place, str]]:
    for kind, choices in (("verify", asset.verify), ("notify", asset.notify)):
        for number, choice in enumerate(choices):
            if choice.source is None:
                for at, file in _needs(choice.options):
                    yield (kind, number, choice.name, *at), file


def _needs(options: BaseModel) -> Iterator[tuple[Place, str]]:
    """What options say that they need, and those inside of them."""
    for option, file in getattr(options, "needs", {}).items():
        yield (option,), file
    for option, value in options:
        if isinstance(value, BaseModel):
            yield from (((option, *at), file) for at, file in _needs(value))


def _why_never(asset: AssetSettings, file: str) -> str | None:
    if asset.render:
        return None if file in asset.render else f"render makes {', '.join(asset.render)}"
    source, slash, _ = file.partition("/")
    if not asset.sources or (slash and source in asset.sources):
        return None
    there = " and ".join(f"{name}/" for name in asset.sources)
    return f"the sources' files are in {there}; a verifier with source: NAME judges those of one, by their own names"
