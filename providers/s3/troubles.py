"""What a store's refusals mean for the next attempt; never their text, which can quote what was sent."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import urllib3
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from providers.answers import AWAY, retry_after
from providers.streams import give_back
from providers.unreachable import unreachable
from refresher.errors import PermanentError, RefresherError, TransientError, UnavailableError

LOGIN_REFUSED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}
) | frozenset({"TokenRefreshRequired", "403"})
"""Error codes after which the credentials are looked up anew; a HEAD's refusal has no body and so no code but 403."""
AGAIN_SOON = frozenset({"RequestTimeout", "RequestTimeTooSkewed"})
SLOWER = frozenset({"SlowDown", "Throttling", "ThrottlingException"})
"""What asks everybody for a pause, with whatever status."""
AGAIN_SOON_STATUS = frozenset({408, 409, 425})
CHANGED = frozenset({404, 412, 416})
"""What answers a read that is pinned to a revision when the object isn't that one any more."""
ARCHIVED = "InvalidObjectState"
MOST_ERROR = 65536
"""Bytes of an error's XML that are read."""
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


class SpentLoginError(RefresherError):
    """These credentials won't do, or there are none; at the next look others may be there."""


class LoginRefusedError(SpentLoginError, PermanentError):
    """The store doesn't take them any more."""


class NoLoginError(SpentLoginError, PermanentError):
    """The chain of credentials has none."""


class NoLoginNowError(SpentLoginError, TransientError):
    """Where the credentials come from gave none this time."""


class Answer(NamedTuple):
    """An answer that isn't a success: S3's error code (empty if it came without one), status and headers."""

    code: str
    status: int
    headers: Mapping[str, str]


@contextmanager
def translating(place: str, *, reading: bool = False) -> Iterator[None]:
    """Raise botocore's and urllib3's errors as ours. What is missing while `reading` was there before: it changed."""
    try:
        yield
    except aws.ClientError as error:
        raise refusal(answer_of(error), place, reading=reading) from error
    except aws.BotoCoreError as error:
        raise _failure(error, place) from error
    except ResponseParserError:
        # Without its cause, which quotes the answer.
        raise PermanentError(f"{place}: an answer isn't what AWS's API defines") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise unreachable(error, place) from error


def accepted(response: urllib3.BaseHTTPResponse, place: str, *, status: int) -> urllib3.BaseHTTPResponse:
    """The answer to a read if it has this status; else what it means, raised, and its connection given back."""
    if response.status == status:
        return response
    try:
        with translating(place, reading=True):
            found = _CODE.search(response.read(MOST_ERROR))
        code = found[1].decode() if found else ""
        raise refusal(Answer(code, response.status, response.headers), place, reading=True)
    finally:
        give_back(response)


def refusal(answer: Answer, place: str, *, reading: bool) -> RefresherError:
    """What an error answer means."""
    said = f"{place}: the server answers {answer.code} ({answer.status})"
    if answer.code in LOGIN_REFUSED:
        return LoginRefusedError(said)
    if answer.code == ARCHIVED:
        return PermanentError(f"{place} is archived: it has to be restored before it can be read")
    if reading and answer.status in CHANGED:
        return TransientError(f"{place} changed while it was fetched")
    if answer.status in AWAY or answer.code in SLOWER:
        return UnavailableError(said, retry_after=retry_after(answer.headers))
    # Any other success, or a redirect, in the middle of a fetch: the next look follows where the bucket went.
    elsewhere = reading and answer.status < 400
    if answer.status >= 500 or answer.status in AGAIN_SOON_STATUS or answer.code in AGAIN_SOON or elsewhere:
        return TransientError(said, retry_after=retry_after(answer.headers))
    return PermanentError(said)


def answer_of(error: aws.ClientError) -> Answer:
    """What botocore was answered."""
    metadata = error.response.get("ResponseMetadata", {})
    headers = urllib3.HTTPHeaderDict(metadata.get("HTTPHeaders", {}))
    return Answer(error.response.get("Error", {}).get("Code", ""), metadata.get("HTTPStatusCode", 0), headers)


def _failure(error: aws.BotoCoreError, place: str) -> RefresherError:
    kind = type(error).__name__
    if isinstance(error, aws.NoCredentialsError):
        return NoLoginError(f"{place} can't be asked: {kind}")
    if isinstance(error, (aws.CredentialRetrievalError, aws.MetadataRetrievalError)):
        return NoLoginNowError(f"{place}: no credentials at the moment: {kind}")
    broken = (aws.HTTPClientError, aws.ConnectionError, aws.IncompleteReadError)
    if isinstance(error, broken) and not isinstance(error, aws.SSLError):
        return UnavailableError(f"{place} can't be reached: {kind}")
    return PermanentError(f"{place} can't be asked: {kind}")
