"""Credentials that come response-wrapped: a wrapping token is looked at, then unwrapped, once.

    file --read--> wrapping token --look up: where was it made?--> --unwrap--> secret, kept in memory only

Whoever intercepts a wrapping token can unwrap it, and put another with the same content in its place. But that one was
made elsewhere, at `sys/wrapping/wrap` say, and the server tells where: hence the look before (Vault's documentation,
"Response wrapping token validation").
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from providers.vault.connection import Answer, Connection, section
from providers.vault.options import Credential
from refresher.errors import PermanentError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What is wrapped: the paths where such are made (`*`: any one part), and where the secret is in the answer."""

    made_at: Sequence[str]
    section: str
    field: str


TOKEN = Wrapped(("auth/token/create", "auth/token/create/*", "auth/token/create-orphan"), "auth", "client_token")


def secret_id(mount: str) -> Wrapped:
    """The secret id of any role of the AppRole method that is enabled there."""
    return Wrapped((f"auth/{mount}/role/*/secret-id",), "data", "secret_id")


@dataclass(slots=True)
class _Kept:
    """The last wrapping token that a reference led to, and what it held."""

    lock: Lock = field(default_factory=Lock, repr=False)
    token: str | None = field(default=None, repr=False)
    secret: str = field(default="", repr=False)


class Wrappings:
    """What was unwrapped in this process, because nobody can unwrap it again. Thread-safe."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    def secret(self, credential: Credential, content: str, wrapped: Wrapped, connection: Connection) -> str:
        """The secret behind the `content` just read from the credential; that itself, if it isn't wrapped.

        Raises TransientError, or PermanentError if the wrapping token was made elsewhere, was used or has expired.
        """
        if not credential.wrapped:
            return content
        kept = self._kept.setdefault(str(credential), _Kept())
        with kept.lock:
            if kept.token != content:
                _look(credential, content, wrapped, connection)
                kept.secret = _unwrapped(credential, content, wrapped, connection)
                kept.token = content
            return kept.secret


def _look(credential: Credential, token: str, wrapped: Wrapped, connection: Connection) -> None:
    """Only unwrap what was made in the right place."""
    answer = connection.send("POST", "sys/wrapping/lookup", data={"token": token}, redact=[token])
    path = _valid(answer, credential).data.get("creation_path")
    allowed = [credential.creation_path] if credential.creation_path else wrapped.made_at
    if isinstance(path, str) and any(_fits(path, each) for each in allowed):
        return
    text = (
        f"the wrapping token in {credential} was made at {path} and not at {' or '.join(allowed)}: "
        "the right one may have been intercepted and replaced; it is not unwrapped"
    )
    _log.error("%s", text)
    raise PermanentError(text)


def _unwrapped(credential: Credential, token: str, wrapped: Wrapped, connection: Connection) -> str:
    answer = _valid(connection.send("POST", "sys/wrapping/unwrap", token=token), credential)
    secret = section(answer.body, wrapped.section).get(wrapped.field)
    if not isinstance(secret, str) or not secret:
        raise PermanentError(f"the wrapping token in {credential} held no {wrapped.field}, and is used up now")
    return secret


def _valid(answer: Answer, credential: Credential) -> Answer:
    """The answer, unless the server doesn't know the wrapping token (any more): it says 400, or 403 as for others."""
    if answer.status in (400, 403):
        raise PermanentError(
            f"the wrapping token in {credential} is used up or has expired: a new one is needed; "
            "if it wasn't refresher that used it, before a restart say, it may have been intercepted"
        )
    return answer.required()


def _fits(path: str, pattern: str) -> bool:
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(each in ("*", part) for part, each in zip(parts, wanted, strict=True))
