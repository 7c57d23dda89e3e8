"""What the local API needs from a running sidecar, as protocols that the composition root fulfils."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from refresher.model import Outcome
from refresher.state import AssetState, ConfigurationState


class Request(Protocol):
    """One asked-for refresh of one asset. Whoever asks while it is shared gets the same object."""

    @property
    def visible(self) -> Future[Outcome]:
        """Done once the files are visible, or once it is known that they won't be."""
        ...

    @property
    def told(self) -> Future[bool]:
        """Done once the telling was tried to its end: True if all have heard."""
        ...


class Sidecar(Protocol):
    """A running sidecar. Every method answers from memory: the event loop of the API waits for none of them."""

    def names(self) -> Sequence[str]:
        """The configured assets; others may be, a moment later."""
        ...

    def all_states(self) -> Sequence[AssetState]:
        """How all of them stand."""
        ...

    def state(self, asset: str) -> AssetState:
        """How an asset stands, its history oldest first. Raises NoSuchAssetError."""
        ...

    def request(self, asset: str) -> Request:
        """Ask for a refresh now; simultaneous requests share one. Raises NoSuchAssetError."""
        ...

    def go_back(self, asset: str, *, to: int | None) -> Future[None]:
        """Put an earlier generation back and pin it; the future has a RefresherError if that isn't possible."""
        ...

    def unpin(self, asset: str) -> Future[None]:
        """Follow the source again; the future has a RefresherError if that isn't possible."""
        ...

    def alive(self) -> bool:
        """Whether the scheduler's heart beats."""
        ...

    def configuration(self) -> ConfigurationState:
        """How the configuration on disk stands."""
        ...
