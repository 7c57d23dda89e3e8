"""As much of RabbitMQ's management API as a Vault needs to make users and take them away: leases without a broker."""

import contextlib
from collections.abc import Iterator
from urllib.parse import unquote

from tests.fakes.serving import Asked, Reply, serving


@contextlib.contextmanager
def rabbitmq(users: set[str]) -> Iterator[str]:
    """The API's address; `users` are those that exist at the moment."""

    def answer(asked: Asked) -> Reply:
        _, _, kind, name, *_ = [*asked.path.split("/"), "", ""]
        if kind == "users" and asked.method == "PUT":
            users.add(unquote(name))
        if kind == "users" and asked.method == "DELETE":
            users.discard(unquote(name))
        return Reply(200, b"[]") if asked.method == "GET" else Reply(204)

    with serving(answer) as address:
        yield address
