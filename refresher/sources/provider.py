"""`Sources`: the provider of an asset with several sources."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from refresher import able
from refresher.abilities import Following, FollowingPart, Observation, Revoking
from refresher.contract import Fetched, FileSet, Held, Lease, Provider, Unchanged
from refresher.errors import RefresherError
from refresher.sources import leases, revisions
from refresher.sources.fetching import Fetching, Learned
from refresher.sources.parts import Published
from refresher.sources.troubles import named, together


class Sources:
    """Named providers as one: their files below a directory of that name, fetched together or not at all.

    `timeout` is for all their answers together.
    """

    rechecks = True  # one that makes something anew isn't asked at a look, unless it can look after that itself

    def __init__(self, sources: Mapping[str, Provider], *, timeout: timedelta) -> None:
        self.sources, self._timeout = dict(sources), timeout
        self._given = Published(None)
        self._learned = Learned()

    def building_on(self, published: FileSet | None) -> "Sources":
        """The provider for one fetch, given the files that its sources gave before; each is shown its own part."""
        building = copy.copy(self)
        building._given = given = Published(published)
        building.sources = {name: able.building_on(source, given.of(name)) for name, source in self.sources.items()}
        return building

    @contextmanager
    def fetch(self, held: Held | None) -> Iterator[Fetched | Unchanged]:
        """Ask all sources. Raises the worst of their errors, which says all."""
        with ExitStack() as contexts:
            yield Fetching(self.sources, held, self._given, self._learned, self._timeout, contexts).answer()

    @property
    def endpoint(self) -> str:
        """Where all of them come from; empty if that isn't one server."""
        endpoints = {able.endpoint(source) for source in self.sources.values()}
        return endpoints.pop() if len(endpoints) == 1 else ""

    @property
    def watched(self) -> Sequence[Path]:
        """What all of them watch."""
        return list(dict.fromkeys(path for source in self.sources.values() for path in able.watched(source)))

    @property
    def followed(self) -> Mapping[str, Following]:
        """Those that can be waited at, each for something else than its own part of the revision."""
        return {
            name: FollowingPart(each, partial(_revision_of, name))
            for name, source in self.sources.items()
            for each in able.followed(source).values()
        }

    def revoke(self, lease: Lease) -> None:
        """End each source's own lease, also if another's can't be ended. Raises the worst of their errors."""
        apart = leases.apart(lease)
        ended = [_ended(name, self.sources[name], apart[name]) for name in apart.keys() & self.sources.keys()]
        if errors := [error for error in ended if error]:
            raise together(errors)

    def close(self) -> None:
        """Nobody uses them any more; one that owes an answer still, once it has given that."""
        for name, source in self.sources.items():
            close, unanswered = partial(able.close, source), self._learned.unanswered.get(name)
            unanswered.then(close) if unanswered else close()

    def diagnose(self) -> Iterator[Observation]:
        """What each source sees, one after the other: what one of them lacks says nothing of the next."""
        for name, source in self.sources.items():
            for observation in _diagnosed(source):
                yield replace(observation, of=f"{name}: {observation.of}", source=name)


def _revision_of(name: str, revision: str) -> str:
    known = revisions.read(revision)
    return known[name].revision if name in known else ""


def _ended(name: str, source: Provider, lease: Lease) -> RefresherError | None:
    """What kept it from being ended."""
    if isinstance(source, Revoking):
        try:
            source.revoke(lease)
        except Exception as error:  # noqa: BLE001 - a plugin's bug must not keep the others' leases alive
            return named(name, error)
    return None


def _diagnosed(source: Provider) -> Iterator[Observation]:
    try:
        yield from able.diagnosed(source)
    except RefresherError as error:
        yield Observation.fail("source", str(error), "Repair what is named there, at the source or in its options.")
