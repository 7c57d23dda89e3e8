"""A server, its connections and one login, shared by all sources that have them in common."""

import copy
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from providers.connections import Certificates, Contexts, Origin
from providers.vault.connection import Answer, Connection
from providers.vault.login import Login, granted, log_in, log_out, looked_up
from providers.vault.mounts import Mounts
from providers.vault.options import Credential
from providers.vault.reach import Reach
from providers.vault.reads import Reads
from providers.vault.wrapping import TOKEN, Wrappings
from refresher.errors import PermanentError, RefresherError, TransientError

Clock = Callable[[], datetime]
"""Answers the present moment, aware and in UTC."""

PARTING = timedelta(seconds=1.5)
"""So long the revocation of tokens may hold up a stop."""

PAUSE = timedelta(seconds=0.5)
"""Between two failed logins; under the back-off's shortest wait (0.75 s), so that a source alone never meets it."""

_log = logging.getLogger(__name__)


class Session:
    """Requests with a token that is alive. Any number of threads may use it; there is one login for all of them."""

    def __init__(self, reach: Reach, *, clock: Clock, contexts: Contexts, wrappings: Wrappings) -> None:
        self._reach, self.clock, self._wrappings = reach, clock, wrappings
        self._given = reach.auth.token
        self._connection = connection_to(reach, contexts)
        self._ended = False
        self._lock = threading.Lock()
        self._login: Login | None = None
        self._attempts = 0
        self._failure: RefresherError | None = None
        self._failed_at = clock()
        self.mounts = Mounts()
        """What the server said of the mounts that were asked for."""
        self.reads = Reads()
        """What several sources read there."""

    @property
    def endpoint(self) -> str:
        """Scheme, host and port of the server."""
        return str(Origin.of(self._reach.address))

    def send(
        self,
        method: str,
        path: str,
        data: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
    ) -> tuple[Answer, Login]:
        """One request, and the login it was made with. A token found dead is replaced once, a missing right is not.

        Raises TransientError or PermanentError if no answer arrives or nobody can log in.
        """
        login = self._alive()
        answer = self._connection.send(method, path, token=login.token, data=data, query=query)
        if answer.status == 403 and self._is_dead(login):
            login = self._alive(dead=login.token)
            answer = self._connection.send(method, path, token=login.token, data=data, query=query)
        return answer, login

    def end(self) -> None:
        """Revoke the token that was logged in for, and log in no more. Meant for `revoke_on_exit`; raises nothing."""
        self._ended = True
        with self._lock:
            login, self._login = self._login, None
        if login is None:
            return
        try:
            log_out(login, self._connection)
        except RefresherError as error:
            _log.warning("the token of %s lives on until it expires: %s", self._reach.address, error)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def _is_dead(self, login: Login) -> bool:
        """Whether the server doesn't know the token any more: with 403 it answers both that and a missing right."""
        answer = self._connection.send("GET", "auth/token/lookup-self", token=login.token)
        return answer.status == 403 or answer.required() is not answer

    def _alive(self, *, dead: str | None = None) -> Login:
        """The login to use now, made or renewed if need be, and none with the `dead` token.

        Threads that waited while another one failed to log in share its failure: if each tried in turn, ten sources
        of a server that doesn't answer would wait for ten time limits. So do those that come right after it: a hundred
        sources with a refused login would else ask for a hundred, and lock the user out.
        """
        login, attempts = self._login, self._attempts
        if login is not None and login.token != dead and self._serves(login):
            return login
        with self._lock:
            if self._failure is not None and (self._attempts != attempts or self._has_just_failed()):
                raise copy.copy(self._failure) from self._failure
            login = self._login if self._login and self._login.token != dead else None
            if login is None or not self._serves(login):
                login = self._login = self._attempt(login, dead)
            return login

    def _has_just_failed(self) -> bool:
        """Whether it was a moment ago; a token that the user gives may be another one by now."""
        return self._given is None and self._failed_at <= self.clock() < self._failed_at + PAUSE

    def _serves(self, login: Login) -> bool:
        if self._given is not None:
            renewal_due = login.renewable and login.is_ageing(self.clock())
            return not renewal_due and self._given.read() == login.given
        return not login.is_ageing(self.clock())

    def _attempt(self, login: Login | None, dead: str | None) -> Login:
        if self._ended:
            raise TransientError(f"nobody logs in at {self._reach.address} any more: refresher stops")
        self._attempts, self._failure = self._attempts + 1, None
        try:
            return self._followed(self._given, login, dead) if self._given else self._successor(login)
        except RefresherError as error:
            if login is not None and self._lives(login):
                _log.warning("the login at %s could be neither renewed nor made anew: %s", self._reach.address, error)
                return login.postponed(self.clock())
            self._failure, self._failed_at = error, self.clock()
            raise

    def _lives(self, login: Login) -> bool:
        """Whether it could be used a while longer: it ages, but it has neither ended nor been replaced by the user."""
        remaining = login.remaining(self.clock())
        replaced = self._given is not None and self._given.read() != login.given
        return remaining is not None and remaining > timedelta(0) and not replaced

    def _followed(self, given: Credential, login: Login | None, dead: str | None) -> Login:
        """The login with the token that the user gives, renewed if it is the same one as before."""
        content = given.read()
        token = self._wrappings.secret(given, content, TOKEN, self._connection)
        if token == dead:
            raise PermanentError(f"the token in {given} is refused by {self._reach.address}: it may have expired")
        if login is None or token != login.token:
            return replace(self._looked_up(token), given=content)
        return replace(self._renewed(login) or replace(login, renewable=False), given=content)

    def _looked_up(self, token: str) -> Login:
        answer = self._connection.send("GET", "auth/token/lookup-self", token=token)
        # A token without this right may well be good for what it is used for: who uses it will learn.
        if answer.status not in (403, 404):
            answer.required()
        return looked_up(token, answer, self.clock())

    def _successor(self, login: Login | None) -> Login:
        """The login renewed, which keeps the leases made with it alive, else a new one."""
        renewed = None if login is None else self._renewed(login)
        return renewed or granted(log_in(self._reach.auth, self._connection, self._wrappings), self.clock())

    def _renewed(self, login: Login) -> Login | None:
        """The login with a new life; None if the server won't, or (at its end) grants less than half of what it had."""
        if not login.renewable or login.ttl is None:
            return None
        try:
            answer = self._connection.send("POST", "auth/token/renew-self", token=login.token, data={})
            if answer.status == 500 and self._reach.auth.cert:
                return None  # so OpenBao answers who shows another certificate than the token was given to: rotated
            renewed = granted(answer, self.clock())
        except PermanentError:
            return None
        return renewed if renewed.ttl is None or renewed.ttl >= login.ttl / 2 else None


def certificates_of(reach: Reach) -> Certificates:
    """Whom to trust, and the certificate that is shown: that of a login by certificate, or else the configured one."""
    shown = reach.auth.cert or reach
    return Certificates(reach.ca_file, shown.cert_file, shown.key_file)


def connection_to(reach: Reach, contexts: Contexts) -> Connection:
    """Connections as the options say; a login by certificate needs that certificate on them."""
    return Connection(
        reach.address,
        timeout=reach.timeout,
        namespace=reach.namespace,
        certificates=certificates_of(reach),
        server_name=reach.tls_server_name,
        contexts=contexts,
    )


class Sessions:
    """The sessions of this process, one for each distinct way to reach and log in. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[Reach, Session] = {}
        self._users: Counter[Reach] = Counter()
        self._contexts, self._wrappings = Contexts(), Wrappings()

    def of(self, reach: Reach) -> Session:
        """The one session for that reach, until as many have left it as were given it."""
        with self._lock:
            self._users[reach] += 1
            if reach not in self._sessions:
                self._sessions[reach] = Session(
                    reach, clock=self._clock, contexts=self._contexts, wrappings=self._wrappings
                )
            return self._sessions[reach]

    def leave(self, reach: Reach) -> None:
        """One user less. After the last one the session is closed, and its token revoked if that is wanted."""
        with self._lock:
            self._users[reach] -= 1
            unused = self._sessions.pop(reach, None) if not self._users[reach] else None
        if unused:
            _end([unused] if reach.revoke_on_exit else [])
            unused.close()

    def close(self) -> None:
        """Revoke the tokens for which that is wanted, which takes `PARTING` at the most, and close all connections."""
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        _end([session for reach, session in sessions.items() if reach.revoke_on_exit])
        for session in sessions.values():
            session.close()


def _end(sessions: Sequence[Session]) -> None:
    """All at once, in threads that the process's end doesn't wait for."""
    deadline = time.monotonic() + PARTING.total_seconds()
    threads = [threading.Thread(target=session.end, daemon=True) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        _log.warning("not every token could be revoked in time: it lives on until it expires")
