"""What a provider's abilities come to, also where it hasn't got them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from refresher.abilities import (
    Building,
    Closable,
    Diagnosable,
    Following,
    FollowingEach,
    Observation,
    Reaching,
    Rechecking,
    Watched,
)
from refresher.contract import FileSet, Provider


def endpoint(provider: Provider) -> str:
    """The one server that it asks; empty if it names none."""
    return provider.endpoint if isinstance(provider, Reaching) else ""


def watched(provider: Provider) -> Sequence[Path]:
    """The local files and directories to watch."""
    return provider.watched if isinstance(provider, Watched) else []


def followed(provider: Provider) -> Mapping[str, Following]:
    """The sources that can be waited at with these options, by name; the name of an only one is empty."""
    if isinstance(provider, FollowingEach):
        return provider.followed
    return {"": provider} if isinstance(provider, Following) and provider.follows else {}


def rechecks(provider: Provider) -> bool:
    """Whether it can look after what its source made anew without making it again."""
    return isinstance(provider, Rechecking) and provider.rechecks


def building_on(provider: Provider, published: FileSet | None) -> Provider:
    """Whom to ask; one that makes the new out of what readers see is shown that."""
    return provider.building_on(published) if isinstance(provider, Building) else provider


def close(provider: Provider) -> None:
    """Have one that nobody uses any more let go of what it holds."""
    if isinstance(provider, Closable):
        provider.close()


def diagnosed(provider: Provider) -> Iterable[Observation]:
    """What it sees of its source without fetching. Raises what it raises."""
    if isinstance(provider, Diagnosable):
        return provider.diagnose()
    return [Observation.skipped("source", "its provider can't look at it without fetching")]
