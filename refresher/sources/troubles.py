"""What went wrong at one source, and at several, as one error."""

import logging
from collections.abc import Sequence

from refresher.bug import places_of
from refresher.errors import PermanentError, RefresherError, RejectedError, TransientError, UnavailableError

log = logging.getLogger("refresher")


def named(source: str, error: Exception) -> RefresherError:
    """The error of the same kind that says which source it came from; a bug is logged, and is permanent."""
    if isinstance(error, TransientError):
        kind = UnavailableError if isinstance(error, UnavailableError) else TransientError
        return kind(f"{source}: {error}", retry_after=error.retry_after)
    if isinstance(error, RejectedError):
        return RejectedError(f"{source}: {error}")
    if isinstance(error, RefresherError):
        return PermanentError(f"{source}: {error}")
    log.error("source %s: a bug, %s", source, places_of(error))
    return PermanentError(f"{source}: unexpected {type(error).__name__} (a bug; the log says where)")


def together(errors: Sequence[RefresherError]) -> RefresherError:
    """One error that says all, of the kind of the worst: what must be repaired, what was refused, what may pass.

    Where all may pass, one whose server is away is enough: what another one met beside it says nothing against that.
    """
    said = "; ".join(map(str, errors))
    for kind in (PermanentError, RejectedError):
        if any(isinstance(error, kind) for error in errors):
            return kind(said)
    waits = [error.retry_after for error in errors if isinstance(error, TransientError) and error.retry_after]
    is_away = any(isinstance(error, UnavailableError) for error in errors)
    return (UnavailableError if is_away else TransientError)(said, retry_after=max(waits, default=None))
