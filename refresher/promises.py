"""What files are promised to be before they come, by lists among them that the asset's verifiers read."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from refresher.abilities import Promising
from refresher.contract import FileSet
from refresher.errors import RejectedError
from refresher.model import Asset


def list_names(asset: Asset) -> frozenset[str]:
    """The files that promise something of the others."""
    return frozenset(name for verifier in _promising(asset) for name in verifier.lists)


def promised(asset: Asset, lists: FileSet) -> Mapping[str, str]:
    """The digests by file name, of which none is verified; nothing from a list that can't be read."""
    digests: dict[str, str] = {}
    for verifier in _promising(asset):
        with suppress(RejectedError):
            digests |= verifier.promised(lists)
    return digests


def _promising(asset: Asset) -> Iterable[Promising]:
    return (named.verifier for named in asset.verifiers if isinstance(named.verifier, Promising))
