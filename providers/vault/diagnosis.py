"""Looking at a server without fetching: reached, unsealed, let in, and allowed to do what a fetch would do.

With connections and a login of its own, which is revoked in the end. What a login would use up isn't tried: a
response-wrapped credential can be unwrapped once, and that is for the one who fetches.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta

from providers.connections import Contexts
from providers.reachable import PATIENCE, Steps, reached
from providers.vault import kv
from providers.vault.connection import Answer, Connection
from providers.vault.login import Login, granted, log_in, log_out, looked_up
from providers.vault.mounts import Mounts
from providers.vault.options import VaultOptions
from providers.vault.reach import Reach, reach
from providers.vault.session import Clock, certificates_of, connection_to
from providers.vault.wrapping import Wrappings
from refresher.abilities import Observation
from refresher.errors import PermanentError, RefresherError
from refresher.options import write_duration

WORKS = {200: "active", 429: "a standby, which passes requests on", 473: "a performance standby"}
BROKEN = {
    472: ("a secondary for disaster recovery, which serves nobody", "Name the primary's address."),
    501: ("not initialized", "Initialize it (operator init), and unseal it."),
    503: ("sealed", "Unseal it (operator unseal), or repair its automatic unsealing."),
}
"""What the statuses of sys/health mean (OpenBao and Vault, "/sys/health")."""
ENDS_SOON = timedelta(days=1)
"""A token that nobody renews and that ends sooner is worth a warning: somebody has to put a new one there."""
MAKES = frozenset({"create", "update", "root"})
READS = frozenset({"read", "root"})
WITHOUT_LEASES = frozenset({"cubbyhole", "generic", "identity", "kv", "pki", "ssh", "transit"})
"""Engines whose answers come without a lease to renew and revoke, or with none that refresher renews."""


class Diagnosis:
    """One look at one source's server."""

    def __init__(self, options: VaultOptions, *, clock: Clock) -> None:
        self._options, self._clock = options, clock
        self._reach: Reach = replace(reach(options), timeout=PATIENCE)

    def observations(self) -> Iterator[Observation]:
        """Each as it is made. Raises what a fetch would."""
        contexts, shown = Contexts(), certificates_of(self._reach)
        near = reached(self._reach.address, context=shown.context, server_name=self._reach.tls_server_name)
        if not (yield from near) or not (yield from self._health(contexts)):
            return
        if self._is_wrapped():
            yield Observation.skipped("login", "the credential is response-wrapped, and a login would use it up")
            return
        with closing(connection_to(self._reach, contexts)) as connection:
            try:
                login = self._let_in(connection)
            except RefresherError as error:
                yield Observation.fail("login", str(error), self._login_advice(error))
                return
            try:
                yield self._judged(login)
                yield from self._rights(_Visit(connection, login))
            finally:
                parting = self._parting(connection, login)
            if parting:
                yield parting

    def _health(self, contexts: Contexts) -> Steps:
        # In no namespace: the call is the root's, and in another one it isn't found.
        with closing(connection_to(replace(self._reach, namespace=None), contexts)) as connection:
            answer = connection.send("GET", "sys/health")
        version = answer.body.get("version", "of a version that it doesn't say")
        if answer.status in WORKS:
            seen = f"{WORKS[answer.status]}, {version}"
            yield Observation.ok("health", seen, server_time=answer.date)
            return True
        seen, advice = BROKEN.get(
            answer.status, (f"answered {answer.status}", "See whether a Vault or OpenBao listens there.")
        )
        yield Observation.fail("health", f"the server is {seen}", advice, server_time=answer.date)
        return False

    def _let_in(self, connection: Connection) -> Login:
        given = self._reach.auth.token
        if given is None:
            return granted(log_in(self._reach.auth, connection, Wrappings()), self._clock())
        token = given.read()
        answer = connection.send("GET", "auth/token/lookup-self", token=token)
        if answer.status == 403:
            raise PermanentError(f"the token in {given} is refused, or it may not look itself up")
        return looked_up(token, answer.required(), self._clock())

    def _judged(self, login: Login) -> Observation:
        renewable = ", renewable" if login.renewable else ""
        seen = f"{self._method}: a token that lives for {write_duration(login.ttl) if login.ttl else 'ever'}{renewable}"
        if self._reach.auth.token and login.ttl and login.ttl < ENDS_SOON and not login.renewable:
            advice = "Put a new token there before it ends, or use a login method in auth."
            return Observation.warn("login", seen, advice)
        return Observation.ok("login", seen)

    def _rights(self, visit: "_Visit") -> Iterator[Observation]:
        path = self._options.path
        if self._options.data is not None:
            yield visit.right(path, MAKES, "update")
            return
        endpoint = kv.located(visit, path)
        if endpoint is None:
            yield visit.right_to_either(path, kv.with_data(path, path.partition("/")[0] + "/"))
            return
        yield visit.right(endpoint.path, READS, "read")
        if any(engine.get("type") not in WITHOUT_LEASES for engine in visit.mounts.engines):
            yield visit.right("sys/leases/renew", MAKES, "update")
            yield visit.right("sys/leases/revoke", MAKES, "update")

    def _is_wrapped(self) -> bool:
        auth = self._reach.auth
        credential = auth.token or (auth.approle.secret_id if auth.approle else None)
        return credential is not None and credential.wrapped

    def _parting(self, connection: Connection, login: Login) -> Observation | None:
        """The login taken back; a token that was given is left alone."""
        if self._reach.auth.token:
            return None
        try:
            log_out(login, connection)
        except RefresherError as error:
            return Observation.warn(
                "logout", f"the token of this look lives on: {error}", "Let it run out, or revoke it."
            )
        return Observation.ok("logout", "the token of this look was revoked")

    @property
    def _method(self) -> str:
        return next(iter(self._reach.auth.model_fields_set))

    def _login_advice(self, error: RefresherError) -> str:
        if not isinstance(error, PermanentError):
            return "See the server's own log; it may pass."
        if self._reach.auth.token:
            return "Put a token there that lives, and may look itself up, as the default policy lets it."
        return f"Compare auth.{self._method} with the role at the server, and what that demands of who logs in."


@dataclass(slots=True)
class _Visit:
    """Requests with one token, which is never replaced: another login would stay behind."""

    connection: Connection
    login: Login
    mounts: Mounts = field(default_factory=Mounts)

    def send(self, method: str, path: str) -> tuple[Answer, Login]:
        """One request, and the login."""
        return self.connection.send(method, path, token=self.login.token), self.login

    def right(self, path: str, needed: frozenset[str], right: str) -> Observation:
        """Whether the token may do one of what is `needed` there."""
        found = self._capabilities(path)
        if found & needed:
            return Observation.ok("right", f"{right} {path}")
        seen = f"the token may not {right} {path}: it has {', '.join(sorted(found)) or 'nothing'} there"
        return Observation.fail("right", seen, f"Add to its policy: {_line(path, right)}")

    def right_to_either(self, path: str, versioned: str) -> Observation:
        """The right to read `path`, where the server doesn't say which engine is there: whoever may read it is told."""
        for each in dict.fromkeys((path, versioned)):
            if self._capabilities(each) & READS:
                return Observation.ok("right", f"read {each}")
        advice = f"Add to its policy: {_line(path, 'read')}"
        if versioned != path:
            advice += f", or for key-value version 2 {_line(versioned, 'read')}"
        return Observation.fail("right", f"the token may read nothing at {path}", advice)

    def _capabilities(self, path: str) -> set[str]:
        asked = {"paths": [path]}
        answer = self.connection.send("POST", "sys/capabilities-self", token=self.login.token, data=asked)
        return {str(each) for each in answer.required().data.get(path) or ()}


def _line(path: str, right: str) -> str:
    return f'path "{path}" {{ capabilities = ["{right}"] }}'
