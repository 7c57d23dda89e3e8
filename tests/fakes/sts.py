"""A security token service: speaks AWS's query protocol, gives the login of a real store, keeps what it is asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from tests.fakes.serving import Asked, Reply, serving

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass
class Sts:
    """`gives`: the access key and secret key of the logins it makes, which live for `lifetime`."""

    gives: tuple[str, str]
    lifetime: timedelta = timedelta(hours=1)
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    signed_by: list[str] = field(default_factory=list)
    refuses: str = ""
    """An error code, while it refuses."""

    def answer(self, asked: Asked) -> Reply:
        parameters = dict(parse_qsl(asked.body.decode()))
        self.asked.append(parameters)
        self.signed_by.append(asked.headers.get("Authorization", ""))
        action = parameters["Action"]
        if self.refuses:
            return Reply(403, _error(self.refuses))
        return Reply(200, self._login(action), {"Content-Type": "text/xml"})

    def _login(self, action: str) -> bytes:
        ends = (datetime.now(UTC) + self.lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        key, secret = self.gives
        return f"""<{action}Response xmlns="{NAMESPACE}"><{action}Result>
          <AssumedRoleUser><AssumedRoleId>AROA:me</AssumedRoleId><Arn>arn:aws:sts::1:assumed-role/r/me</Arn></AssumedRoleUser>
          <Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
          <SessionToken></SessionToken><Expiration>{ends}</Expiration></Credentials>
          </{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>""".encode()


def _error(code: str) -> bytes:
    why = f"<Type>Sender</Type><Code>{code}</Code><Message>No.</Message>"
    return f'<ErrorResponse xmlns="{NAMESPACE}"><Error>{why}</Error></ErrorResponse>'.encode()


@contextmanager
def sts(access_key: str, secret_key: str) -> Iterator[Sts]:
    """The service, until the context ends."""
    service = Sts((access_key, secret_key))
    with serving(service.answer) as service.url:
        yield service
