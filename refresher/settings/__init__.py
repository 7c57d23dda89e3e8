"""The configuration: read, checked, and made into assets. Its JSON Schema is in `schema.py`, for who asks for it."""

from refresher.settings.build import SharedParts, assets
from refresher.settings.models import AssetSettings, Choice, Control, Probes, Settings
from refresher.settings.read import load, short_form
from refresher.settings.warnings import warnings

__all__ = [
    "AssetSettings",
    "Choice",
    "Control",
    "Probes",
    "Settings",
    "SharedParts",
    "assets",
    "load",
    "short_form",
    "warnings",
]
