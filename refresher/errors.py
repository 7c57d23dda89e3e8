"""Four errors and their kinds, named after what the core does next.

    RefresherError
    ├── ConfigError      do not start; say which key
    ├── TransientError   try again soon, with back-off
    │   ├── StartOverError     read the file again at once, from its beginning
    │   └── UnavailableError   the same for everything from that endpoint, which one asset at a time asks until then
    ├── PermanentError   the next scheduled refresh is soon enough; raise the alarm
    └── RejectedError    it arrived and must not be published; the last good files stay

Anything else that leaves a plugin is a bug: where it happened is logged, the outcome is *failed*, and the normal
schedule goes on. Messages carry the thing's name and never a secret.
"""

from datetime import timedelta


class RefresherError(Exception):
    """The root: everything that refresher raises on purpose."""

    def __str__(self) -> str:
        """The message, as it can be written anywhere: what a source or an app said in it needn't be Unicode."""
        return super().__str__().encode("utf-8", "replace").decode()


class ConfigError(RefresherError):
    """The configuration can't work; each problem names the key's full path, what was found and what is allowed."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class TransientError(RefresherError):
    """It failed and may work soon: unreachable, overloaded, changed while being read.

    `retry_after` is what the source asked for, None if it asked for nothing.
    """

    def __init__(self, message: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StartOverError(TransientError):
    """A file can't be read on from the middle: what came of it is given up, and it is read once more as a whole.

    For `open` with an offset, and `open_range`. Asked to go on at the next attempt, the source would say the same.
    """


class UnavailableError(TransientError):
    """It is the endpoint's, and not this one thing's: nobody answers there, or it asks everybody for a pause.

    Not for an answer that says that one thing is broken: whatever else comes from there would wait for it.
    """


class PermanentError(RefresherError):
    """It failed and will fail again until somebody changes something: no such path, no right to it."""


class RejectedError(RefresherError):
    """It arrived, and it must not be published."""
