"""A server, its connections and one login, shared by all sources that have them in common."""

import copy
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from providers.vault.connection import Answer, period
from providers.vault.login import Login, connect, granted, log_in
from providers.vault.options import Reach
from providers.vault.reads import Reads
from refresher.errors import PermanentError, RefresherError
from refresher.options import Secret

Clock = Callable[[], datetime]
"""Answers the present moment, aware and in UTC."""

_log = logging.getLogger(__name__)


class Session:
    """Requests with a token that is alive. Any number of threads may use it; there is one login for all of them."""

    def __init__(self, reach: Reach, *, clock: Clock) -> None:
        self._reach, self.clock = reach, clock
        self._given = reach.auth.token
        self._connection = connect(reach)
        self._lock = threading.Lock()
        self._login: Login | None = None
        self._attempts = 0
        self._failure: RefresherError | None = None
        self.mounts: dict[str, Mapping[str, Any]] = {}
        """What the server said of the mounts that were asked for, by their paths, each with a slash at its end."""
        self.reads = Reads()
        """What several sources read there."""

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
        of a server that doesn't answer would wait for ten time limits.
        """
        login, attempts = self._login, self._attempts
        if login is not None and login.token != dead and self._serves(login):
            return login
        with self._lock:
            if self._attempts != attempts and self._failure is not None:
                raise copy.copy(self._failure) from self._failure
            login = self._login if self._login and self._login.token != dead else None
            if login is None or not self._serves(login):
                login = self._login = self._attempt(login, dead)
            return login

    def _serves(self, login: Login) -> bool:
        if self._given is not None:
            renewal_due = login.renewable and login.is_ageing(self.clock())
            return not renewal_due and self._given.read() == login.token
        return not login.is_ageing(self.clock())

    def _attempt(self, login: Login | None, dead: str | None) -> Login:
        self._attempts, self._failure = self._attempts + 1, None
        try:
            return self._followed(self._given, login, dead) if self._given else self._successor(login)
        except RefresherError as error:
            if login is not None and self._lives(login):
                _log.warning("the login at %s could be neither renewed nor made anew: %s", self._reach.address, error)
                return login.postponed(self.clock())
            self._failure = error
            raise

    def _lives(self, login: Login) -> bool:
        """Whether it could be used a while longer: it ages, but it has neither ended nor been replaced by the user."""
        remaining = login.remaining(self.clock())
        replaced = self._given is not None and self._given.read() != login.token
        return remaining is not None and remaining > timedelta(0) and not replaced

    def _followed(self, given: Secret, login: Login | None, dead: str | None) -> Login:
        """The login with the token that the user gives, renewed if it is the same one as before."""
        token = given.read()
        if token == dead:
            raise PermanentError(f"the token in {given} is refused by {self._reach.address}: it may have expired")
        if login is None or token != login.token:
            return self._looked_up(token)
        return self._renewed(login) or replace(login, renewable=False)

    def _looked_up(self, token: str) -> Login:
        answer = self._connection.send("GET", "auth/token/lookup-self", token=token)
        # A token without this right may well be good for what it is used for: who uses it will learn.
        found = answer.data if answer.status in (403, 404) else answer.required().data
        renewable = found.get("renewable") is True
        return Login(token=token, granted_at=self.clock(), ttl=period(found, "ttl"), renewable=renewable)

    def _successor(self, login: Login | None) -> Login:
        """The login renewed, which keeps the leases made with it alive, else a new one."""
        renewed = None if login is None else self._renewed(login)
        return renewed or log_in(self._reach, self.clock())

    def _renewed(self, login: Login) -> Login | None:
        """The login with a new life; None if the server won't, or (at its end) grants less than half of what it had."""
        if not login.renewable or login.ttl is None:
            return None
        try:
            answer = self._connection.send("POST", "auth/token/renew-self", token=login.token, data={})
            renewed = granted(answer, self.clock())
        except PermanentError:
            return None
        return renewed if renewed.ttl is None or renewed.ttl >= login.ttl / 2 else None


class Sessions:
    """The sessions of this process, one for each distinct way to reach and log in. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[Reach, Session] = {}

    def of(self, reach: Reach) -> Session:
        """The one session for that reach."""
        with self._lock:
            if reach not in self._sessions:
                self._sessions[reach] = Session(reach, clock=self._clock)
            return self._sessions[reach]

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for session in self._sessions.values():
                session.close()
            self._sessions.clear()
