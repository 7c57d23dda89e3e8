"""How the tests of the kit say what has to happen."""

# ruff: noqa: PT017, S101 - a kit of tests asserts, and without pytest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread

from refresher.errors import RefresherError


@contextmanager
def raises(*expected: type[RefresherError]) -> Iterator[None]:
    """One of `expected` is raised inside; any other of ours fails the test, and a vendor's exception passes through."""
    names = " or ".join(each.__name__ for each in expected)
    try:
        yield
    except RefresherError as error:
        assert isinstance(error, expected), f"{type(error).__name__} where {names} is due: {error}"
        assert str(error), "an error without a message"
        return
    raise AssertionError(f"no {names} was raised")


def in_time(action: Callable[[], object], *, within: float) -> None:
    """What `action` raises; AssertionError if it hasn't ended after so many seconds."""
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def act() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - it is raised again where somebody waits
            ended.put(error)
        else:
            ended.put(None)

    Thread(target=act, daemon=True).start()
    try:
        failure = ended.get(timeout=within)
    except Empty:
        raise AssertionError(f"it still waits after {within:g} s") from None
    if failure:
        raise failure
