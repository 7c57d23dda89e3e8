"""Answers that never came: what urllib3's errors, and the operating system's, mean for the next attempt."""

import re

import urllib3

from refresher.errors import PermanentError, RefresherError, TransientError, UnavailableError


def unreachable(error: Exception, url: str) -> RefresherError:
    """The error to raise instead of this one; `url`, or another name of the place, is for its message."""
    cause = error.args[0] if isinstance(error, urllib3.exceptions.SSLError) and error.args else error
    reason = getattr(cause, "verify_message", "")
    if reason:
        return PermanentError(f"the certificate of {url} can't be verified: {reason}")
    if isinstance(error, urllib3.exceptions.LocationValueError):
        return PermanentError(f"{url} is no URL that can be asked")
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return UnavailableError(f"the host of {url} has no address")
    if isinstance(error, urllib3.exceptions.ProxyError):
        return _proxy_error(error, url)
    # Before the timeouts, one of which urllib3 takes a refused connection for.
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return UnavailableError(f"{url} accepts no connection")
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return UnavailableError(f"{url} doesn't answer in time")
    # An answer that isn't HTTP, or breaks off, may be this one's alone.
    is_away = isinstance(error, OSError) or any(isinstance(each, OSError) for each in error.args)
    return (UnavailableError if is_away else TransientError)(f"{url} can't be reached: {type(error).__name__}")


def _proxy_error(error: urllib3.exceptions.ProxyError, url: str) -> RefresherError:
    refused = re.match("Tunnel connection failed: ([0-9]{3})", str(error.original_error))
    if refused is None:
        return unreachable(error.original_error, f"the proxy to {url}")
    kind = PermanentError if refused[1].startswith("4") else UnavailableError
    return kind(f"the proxy to {url} answers {refused[1]}")
