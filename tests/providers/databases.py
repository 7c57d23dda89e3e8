"""Database engines of a real server, in front of a real PostgreSQL."""

import contextlib
from collections.abc import Iterator

from refresher.contract import Fetched
from refresher.demo.openbao import OpenBao
from tests.providers.vault_sources import contents, unique
from tests.servers.postgres import Postgres

_CREATION = """CREATE ROLE "{{name}}" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"""
_ROTATION = """ALTER ROLE "{{name}}" WITH PASSWORD '{{password}}'"""


@contextlib.contextmanager
def database(bao: OpenBao, postgres: Postgres) -> Iterator[str]:
    """The mount of an engine that may do all in the database; unmounted, and so all its logins gone, at the end."""
    mount = unique("database")
    bao.enable(mount, "database")
    connection = {"connection_url": postgres.connection_url, "allowed_roles": "*"}
    superuser = {"username": postgres.username, "password": postgres.password}
    bao.write(f"{mount}/config/db", {"plugin_name": "postgresql-database-plugin", **connection, **superuser})
    try:
        yield mount
    finally:
        bao.delete(f"sys/mounts/{mount}")


def role(bao: OpenBao, mount: str, **lives: str) -> None:
    """The role `app`, of which each read makes a login; `lives` are `default_ttl` and `max_ttl`."""
    bao.write(f"{mount}/roles/app", {"db_name": "db", "creation_statements": [_CREATION], **lives})


def static_role(bao: OpenBao, postgres: Postgres, mount: str, *, rotation_period: str) -> None:
    """The role `app`, one login whose password the engine changes every so often."""
    name = unique("app").replace("-", "_")
    postgres.run(f"CREATE ROLE {name} LOGIN PASSWORD 'unknown'")
    settings = {"rotation_statements": [_ROTATION], "rotation_period": rotation_period}
    bao.write(f"{mount}/static-roles/app", {"db_name": "db", "username": name, **settings})


def lets_in(postgres: Postgres, found: Fetched) -> bool:
    """Whether the database lets somebody in with the credentials in the files."""
    files = contents(found)
    return postgres.lets_in(files["username"].decode(), files["password"].decode())
