"""Asking the app what it runs now, until it is what was published: an answer 200 proves little."""

import os
import re
import ssl
import stat
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Protocol, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from refresher.abilities import Observation
from refresher.contract import Change
from refresher.errors import TransientError
from refresher.notifiers.connection import connected
from refresher.notifiers.exchange import Headers, HttpUrl, Request, exchange, read_headers
from refresher.notifiers.starttls import STARTTLS
from refresher.options import Duration

PAUSE = 0.1
"""Seconds between two looks at the app."""

PATIENCE = timedelta(seconds=3)
"""For each look of a diagnosis."""

BODY_LIMIT = 1024 * 1024
"""Bytes of a status page that are searched."""

CERTIFICATE_LIMIT = 1024 * 1024
"""Bytes of the published certificate file."""

_PLACEHOLDER = re.compile(r"\{\{\s*(\w*)\s*\}\}")
_PLACEHOLDERS = ("asset", "digest", "generation", "revision")
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/]+):(?P<port>\d{1,5})")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


def _fillable(template: str) -> str:
    unknown = [name for name in _PLACEHOLDER.findall(template) if name not in _PLACEHOLDERS]
    if unknown:
        raise ValueError(f"must have no placeholders but {', '.join(f'{{{{{name}}}}}' for name in _PLACEHOLDERS)}")
    return template


def _host_and_port(address: str) -> str:
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ValueError("must be an address such as 127.0.0.1:8443")
    return address


class HttpQuestion(BaseModel):
    """A URL whose answer, 2xx, contains a text once the app runs what was published.

    The text may have the placeholders `{{asset}}`, `{{digest}}`, `{{generation}}` and `{{revision}}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: HttpUrl
    contains: Annotated[str, Field(min_length=1), AfterValidator(_fillable)]
    headers: Headers = {}
    ca_file: Path | None = None


class ConfirmOptions(BaseModel):
    """How to see that the app runs what was published: exactly one of `tls` and `http`, asked again until `timeout`.

    `tls` is an address, asked for the certificate of `name` (SNI), which must be in the published file `certificate`;
    `starttls` is the protocol in which TLS has to be asked for first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tls: Annotated[str, AfterValidator(_host_and_port)] | None = None
    name: str | None = None
    certificate: str = "tls.crt"
    starttls: Literal["postgres"] | None = None
    http: HttpQuestion | None = None
    timeout: Duration = timedelta(seconds=5)

    @property
    def needs(self) -> Mapping[str, str]:
        """The file without which nothing can be confirmed, by option."""
        return {"certificate": self.certificate} if self.tls is not None else {}

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.tls is None) == (self.http is None):
            raise ValueError("must have exactly one of tls and http")
        if self.starttls is not None and self.tls is None:
            raise ValueError("must have starttls only with tls")
        return self


class Look(Protocol):
    """One look at the app: None if it runs what was published, else what is seen instead. Raises TransientError."""

    def __call__(self, change: Change, *, timeout: timedelta) -> str | None:
        """Take at most `timeout`."""
        ...


def confirm(options: ConfirmOptions | None, change: Change) -> None:
    """Return when the app runs what was published, or nobody wants to know; TransientError if it isn't seen in time."""
    if options is None:
        return
    deadline = time.monotonic() + options.timeout.total_seconds()
    while True:
        seen = _seen(_look_of(options), change, deadline)
        if seen is None:
            return
        if time.monotonic() + PAUSE >= deadline:
            raise TransientError(f"not confirmed within {options.timeout.total_seconds():g} s: {seen}")
        time.sleep(PAUSE)


def observed(options: ConfirmOptions | None, change: Change | None) -> Iterator[Observation]:
    """One look, for a diagnosis, if somebody wants to know; `change` is None if nothing is published."""
    if options is not None:
        yield _observation(options, change)


def _observation(options: ConfirmOptions, change: Change | None) -> Observation:
    if change is None:
        return Observation.skipped("confirm", "nothing is known to be published")
    try:
        other = _look_of(options)(change, timeout=PATIENCE)
    except TransientError as error:
        return Observation.fail("confirm", str(error), "Start the app, or correct confirm's address.")
    if other is not None:
        return Observation.warn("confirm", other, "See in the log how telling the app ends.")
    return Observation.ok("confirm", f"the app runs generation {change.generation}")


def _seen(look: Look, change: Change, deadline: float) -> str | None:
    left = max(deadline - time.monotonic(), PAUSE)
    try:
        return look(change, timeout=timedelta(seconds=left))
    except TransientError as error:
        return str(error)


def _look_of(options: ConfirmOptions) -> Look:
    if options.http is not None:
        return HttpLook(options.http)
    return TlsLook(options)


class HttpLook:
    """Looks for a text in an answer."""

    def __init__(self, question: HttpQuestion) -> None:
        self._question = question

    def __call__(self, change: Change, *, timeout: timedelta) -> str | None:
        """Raises TransientError, and PermanentError if a header can't be read."""
        question = self._question
        headers = read_headers(question.headers)
        request = Request(
            method="GET", url=question.url, headers=headers, body=None, ca_file=question.ca_file, limit=BODY_LIMIT
        )
        answer = exchange(request, timeout=timeout)
        if not 200 <= answer.status < 300:
            return f"{request.described} answers {answer.status}"
        found = filled(question.contains, change).encode() in answer.body
        return None if found else f"{request.described} does not show generation {change.generation}"


class TlsLook:
    """Looks at the certificate that a server shows."""

    def __init__(self, options: ConfirmOptions) -> None:
        self._address = options.tls or ""
        self._name = options.name
        self._certificate = options.certificate
        self._ask = STARTTLS[options.starttls] if options.starttls is not None else None

    def __call__(self, change: Change, *, timeout: timedelta) -> str | None:
        """Raises TransientError."""
        published = self._published(change.path / self._certificate)
        try:
            served = self._served(timeout)
        except OSError as error:
            said = error.strerror or type(error).__name__
            raise TransientError(f"{self._address} does not show a certificate: {said}") from error
        return None if served in published else f"{self._address} serves another certificate than the published one"

    def _served(self, timeout: timedelta) -> bytes | None:
        match = _ADDRESS.fullmatch(self._address)
        host, port = (match["host"].strip("[]"), int(match["port"])) if match else ("", 0)
        with connected(
            host, port, within=timeout, tls=_any_certificate(), name=self._name, ask=self._ask
        ) as connection:
            return connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None

    @staticmethod
    def _published(path: Path) -> set[bytes]:
        """The leaf is among them, at whatever place, and no server shows one of the others as its own."""
        try:
            # The app may write here: opening a FIFO that it put in the file's place must not wait for ever.
            with open(path, "rb", opener=_without_waiting) as file:
                text = file.read(CERTIFICATE_LIMIT).decode("ascii", errors="replace")
            return {ssl.PEM_cert_to_DER_cert(block) for block in _PEM.findall(text)}
        except FileNotFoundError as error:
            raise TransientError(f"no {path} is published; confirm.certificate says which file to compare") from error
        except (OSError, ValueError) as error:
            raise TransientError(f"the published {path} can't be read: {type(error).__name__}") from error


def _without_waiting(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError("not a regular file")
    return fd


def filled(template: str, change: Change) -> str:
    """The template with its placeholders replaced."""
    return _PLACEHOLDER.sub(lambda match: str(getattr(change, match[1])), template)


def _any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Nothing is trusted because of this connection: the certificate is compared, byte by byte, with what was published.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
