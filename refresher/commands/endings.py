"""How a command ends: its exit code, and what is said of what went wrong."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import typer

from refresher.errors import ConfigError, PermanentError

DONE, NOT_UP_TO_DATE, BAD_CONFIGURATION, UNREACHABLE = 0, 1, 2, 3


def complain(message: str) -> None:
    """Say what is wrong, in which others' words may be: they must not steer the terminal."""
    from refresher.words import printable

    print("\n".join(map(printable, message.split("\n"))), file=sys.stderr)


def fail(code: int, message: str) -> NoReturn:
    """Say what is wrong, and exit."""
    complain(message)
    raise typer.Exit(code)


@contextmanager
def reporting_bad_configuration() -> Iterator[None]:
    """Exit with every problem of the configuration that is found inside."""
    try:
        yield
    except ConfigError as error:
        fail(BAD_CONFIGURATION, "\n".join(error.problems))


@contextmanager
def reporting_failed_call() -> Iterator[None]:
    """Exit if no sidecar answers inside, or its token can't be read."""
    from refresher.client import UnreachableError

    try:
        yield
    except UnreachableError as error:
        fail(UNREACHABLE, str(error))
    except PermanentError as error:
        fail(BAD_CONFIGURATION, str(error))


def end(code: int) -> NoReturn:
    """Leave at once: a thread that waits for a source that never answers must not hold up the end of a pod."""
    for stream in (sys.stdout, sys.stderr):
        # Who read it may be gone; the code is what counts.
        with suppress(OSError):
            stream.flush()
    os._exit(code)
