"""Logging in: each method's credentials become a token. The only file that knows hvac, loaded by those that need it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from providers.vault.connection import Answer, Connection, period, section
from providers.vault.options import AppRole, Auth, Aws, Credential, Jwt, Kubernetes, Userpass
from providers.vault.wrapping import Wrappings, secret_id
from refresher.errors import PermanentError, TransientError
from refresher.options import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A token and how long it lives; `ttl` None: without end, or nobody says.

    `given` is what the user gave instead of a login, the token itself or the wrapping token that it came in.
    """

    token: str = field(repr=False)
    given: str | None = field(default=None, repr=False)
    granted_at: datetime
    ttl: timedelta | None
    renewable: bool
    postponed_to: datetime | None = None

    def remaining(self, now: datetime) -> timedelta | None:
        """Life left, None if it has no end."""
        return None if self.ttl is None else self.granted_at + self.ttl - now

    def is_ageing(self, now: datetime) -> bool:
        """Whether it is time for its successor: two thirds of its life are over, and no failed attempt is recent."""
        if self.ttl is None:
            return False
        return now >= (self.postponed_to or self.granted_at + self.ttl * 2 / 3)

    def postponed(self, now: datetime) -> "Login":
        """The login after a failed attempt: the next one is due when a third of what remains is over."""
        remaining = self.remaining(now)
        return self if remaining is None else replace(self, postponed_to=now + remaining / 3)


def log_in(auth: Auth, connection: Connection, wrappings: Wrappings) -> Answer:
    """The answer to a login by the method that is configured, for all but `token`.

    Raises TransientError or PermanentError.
    """
    if auth.cert:
        name = {"name": auth.cert.name} if auth.cert.name else {}
        return connection.send("POST", f"auth/{auth.cert.mount}/login", data=name)
    methods: tuple[tuple[Any, Callable[..., Answer]], ...] = (
        (auth.approle, _approle),
        (auth.kubernetes, _kubernetes),
        (auth.jwt, _jwt),
        (auth.userpass, _userpass),
        (auth.aws, _aws),
    )
    return next(method(chosen, _Wire(connection, wrappings)) for chosen, method in methods if chosen)


def granted(answer: Answer, now: datetime) -> Login:
    """The login that an answer with `auth` grants. Raises PermanentError if it grants none."""
    auth = section(answer.required().body, "auth")
    token = auth.get("client_token")
    if not isinstance(token, str) or not token:
        why = "a second factor is asked for" if auth.get("mfa_requirement") else "the answer holds none"
        raise PermanentError(f"{answer.request} granted no token: {why}")
    ttl = period(auth, "lease_duration")
    return Login(token=token, granted_at=now, ttl=ttl, renewable=auth.get("renewable") is True)


def looked_up(token: str, answer: Answer, now: datetime) -> Login:
    """The login with a token that was given, by what the server says of it."""
    renewable = answer.data.get("renewable") is True
    return Login(token=token, granted_at=now, ttl=period(answer.data, "ttl"), renewable=renewable)


def log_out(login: Login, connection: Connection) -> None:
    """Revoke the login's token. Raises TransientError or PermanentError."""
    connection.send("POST", "auth/token/revoke-self", token=login.token, data={}).required()


class _Wire:
    """What hvac's login methods need of an adapter: they know the API, the requests go through the one thin place.

    hvac is imported inside the functions that use it: it takes 200 ms and more memory than everything else here.
    """

    def __init__(self, connection: Connection, wrappings: Wrappings) -> None:
        self._connection, self._wrappings = connection, wrappings

    def secret_id(self, credential: Credential, mount: str) -> str:
        return self._wrappings.secret(credential, credential.read(), secret_id(mount), self._connection)

    def login(self, *, url: str, json: Mapping[str, Any], use_token: bool) -> Answer:
        sent = {name: value for name, value in json.items() if value is not None}
        secrets = [value for name, value in sent.items() if name != "role" and isinstance(value, str)]
        path = unquote(url).removeprefix("/v1/")
        return self._connection.send("POST", path, data=sent, redact=secrets)


def _approle(method: AppRole, wire: _Wire) -> Answer:
    from hvac.api.auth_methods import AppRole as Api

    given = wire.secret_id(method.secret_id, method.mount) if method.secret_id else None
    answer: Answer = Api(wire).login(method.role_id.read(), given, mount_point=method.mount, use_token=False)
    return answer


def _kubernetes(method: Kubernetes, wire: _Wire) -> Answer:
    from hvac.api.auth_methods import Kubernetes as Api

    answer: Answer = Api(wire).login(method.role, _token(method.token_file), mount_point=method.mount, use_token=False)
    return answer


def _jwt(method: Jwt, wire: _Wire) -> Answer:
    from hvac.api.auth_methods import JWT as Api  # noqa: N811

    answer: Answer = Api(wire).jwt_login(method.role, _token(method.token_file), path=method.mount, use_token=False)
    return answer


def _userpass(method: Userpass, wire: _Wire) -> Answer:
    from hvac.api.auth_methods import Userpass as Api

    answer: Answer = Api(wire).login(method.username, method.password.read(), mount_point=method.mount, use_token=False)
    return answer


def _aws(method: Aws, wire: _Wire) -> Answer:
    from hvac.api.auth_methods import Aws as Api

    frozen = _aws_identity()
    answer: Answer = Api(wire).iam_login(
        frozen.access_key,
        frozen.secret_key,
        session_token=frozen.token,
        header_value=method.server_id,
        role=method.role,
        region=method.region,
        mount_point=method.mount,
        use_token=False,
    )
    return answer


def _aws_identity() -> Any:
    """The access key, secret key and session token of this machine, wherever botocore finds them."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        credentials = Session().get_credentials()
        if credentials is not None:
            return credentials.get_frozen_credentials()
    except BotoCoreError as error:
        raise TransientError(f"AWS credentials can't be had: {type(error).__name__}") from error
    raise PermanentError("this machine has no AWS credentials to log in with")


def _token(file: Path) -> str:
    """The projected token now: the kubelet replaces it before it expires."""
    return Secret(file=file).read()
