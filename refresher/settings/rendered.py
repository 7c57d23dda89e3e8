"""Assets that are rendered: loaded by those who have one."""

import os
from collections.abc import Sequence
from pathlib import Path

from refresher.contract import Provider
from refresher.errors import ConfigError
from refresher.host import now
from refresher.model import NamedVerifier
from refresher.render.recipe import recipe
from refresher.render.rendering import Rendering
from refresher.render.templates import files
from refresher.settings.models import AssetSettings
from refresher.settings.paths import Place, written


def rendering(
    provider: Provider, asset: AssetSettings, checks: Sequence[NamedVerifier], place: Place
) -> tuple[Rendering, str]:
    """The provider that renders what the asset's own provider has, and the digest of how. Raises ConfigError."""
    try:
        how = recipe(asset.render, tuple(asset.sources), os.environ)
    except ConfigError as error:
        raise ConfigError(*(f"{written((*place, 'render'))}.{problem}" for problem in error.problems)) from None
    rendering = Rendering(
        provider,
        asset=str(place[-1]),
        recipe=how,
        checks=checks,
        limits=asset.limits,
        timeout=asset.refresh.timeout,
        clock=now,
    )
    return rendering, how.digest


def template_files(asset: AssetSettings) -> set[Path]:
    """The files of its templates, those that they include as well, also where one of them is missing or wrong."""
    return {path for entry in asset.render.values() for path in files(entry)}
