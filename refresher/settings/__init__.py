"""The configuration: read, checked, and made into assets. Its JSON Schema is in `schema.py`, for who asks for it."""

from refresher.settings.assembly import Assembly, assemble, assets, difference, named_files
from refresher.settings.models import AssetSettings, Choice, Control, Probes, Settings
from refresher.settings.plugged import SharedParts
from refresher.settings.read import load, load_control, short_form
from refresher.settings.warnings import warnings

__all__ = [
    "Assembly",
    "AssetSettings",
    "Choice",
    "Control",
    "Probes",
    "Settings",
    "SharedParts",
    "assemble",
    "assets",
    "difference",
    "load",
    "load_control",
    "named_files",
    "short_form",
    "warnings",
]
