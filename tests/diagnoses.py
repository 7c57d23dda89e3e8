"""What the tests of diagnoses share."""

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from refresher.abilities import Diagnosable, Observation, Verdict
from refresher.errors import RefresherError


def diagnosed(provider: object) -> list[Observation]:
    """What the provider sees; what it raises in the end is the last failure."""
    assert isinstance(provider, Diagnosable)
    found: list[Observation] = []
    try:
        found.extend(provider.diagnose())
    except RefresherError as error:
        found.append(Observation.fail("raised", str(error), "see the error"))
    return found


def verdicts(observations: Iterable[Observation]) -> dict[str, Verdict]:
    """The last verdict of each thing looked at."""
    return {each.of: each.verdict for each in observations}


def failure(observations: Iterable[Observation]) -> Observation:
    """The one observation that fails."""
    (failed,) = [each for each in observations if each.verdict is Verdict.FAIL]
    return failed


@contextmanager
def black_hole() -> Iterator[str]:
    """The address of a socket that listens, and never accepts: the kernel connects, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"
