from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from providers.vault import leases
from providers.vault.session import Sessions
from refresher.contract import Fetched, Held, Lease, Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError, TransientError
from tests.fakes.serving import Asked, Reply, serving
from tests.providers.databases import database, lets_in, role
from tests.providers.vault_sources import Clock, Source, Sources, contents, held, passed_on
from tests.servers.postgres import Postgres
from tests.waiting import until

NOWHERE = "postgresql://{{username}}:{{password}}@127.0.0.1:1/postgres"


@pytest.fixture
def mount(bao: OpenBao, postgres: Postgres) -> Iterator[str]:
    """A database engine: its role `app` makes a login for a minute, and for 100 s at most."""
    with database(bao, postgres) as name:
        role(bao, name, default_ttl="60s", max_ttl="100s")
        yield name


@pytest.fixture
def source(bao: OpenBao, tmp_path: Path) -> Sources:
    return lambda **options: Source(bao, tmp_path, **options)


@pytest.fixture
def confined(bao: OpenBao, mount: str) -> str:
    """A policy with the right to make a login, and no other."""
    bao.policy(mount, f'path "{mount}/creds/app" {{ capabilities = ["read"] }}')
    return mount


def made(bao: OpenBao, mount: str) -> int:
    """How many logins were asked for."""
    return len(bao.requests(f"{mount}/creds/app"))


def username(found: Fetched) -> str:
    return contents(found)["username"].decode()


def test_dynamic_credentials_log_in_and_come_with_their_lease(source: Sources, mount: str, postgres: Postgres) -> None:
    found = source(path=f"{mount}/creds/app").fetched()
    assert sorted(contents(found)) == ["password", "username"]
    assert lets_in(postgres, found)
    assert found.minted
    assert found.lease is not None
    assert found.lease.renewable
    assert found.lease.duration == timedelta(seconds=60)


def test_a_renewable_lease_is_renewed_rather_than_replaced(bao: OpenBao, source: Sources, mount: str) -> None:
    app = source(path=f"{mount}/creds/app")
    first = app.fetched()
    again = app.look(held(first))
    assert isinstance(again, Unchanged)
    assert again.lease is not None
    assert first.lease is not None
    assert again.lease.expires_at > first.lease.expires_at
    assert isinstance(app.look(Held(revision=first.revision, digests={}, lease=again.lease)), Unchanged)
    assert made(bao, mount) == 1


def test_a_lease_near_its_longest_life_is_replaced(
    bao: OpenBao, source: Sources, mount: str, postgres: Postgres
) -> None:
    app = source(path=f"{mount}/creds/app")
    role(bao, mount, default_ttl="300s", max_ttl="300s")
    first = app.fetched()
    role(bao, mount, default_ttl="300s", max_ttl="100s")
    second = app.fetched(held(first))
    assert username(second) != username(first)
    assert lets_in(postgres, second)


def test_a_lease_renewed_for_less_than_half_of_what_it_had_is_replaced(
    bao: OpenBao, source: Sources, mount: str
) -> None:
    app = source(path=f"{mount}/creds/app")
    first = app.fetched()
    role(bao, mount, default_ttl="29s", max_ttl="100s")
    assert username(app.fetched(held(first))) != username(first)


def test_a_lease_that_cannot_be_renewed_is_replaced(bao: OpenBao, source: Sources, mount: str) -> None:
    app = source(path=f"{mount}/creds/app")
    bao.write(f"sys/mounts/{mount}/tune", {"max_lease_ttl": "60s"})
    first = app.fetched()
    bao.write(f"sys/mounts/{mount}/tune", {"max_lease_ttl": "20s"})
    assert username(app.fetched(held(first))) != username(first)
    assert made(bao, mount) == 2


def test_a_revoked_lease_is_replaced(bao: OpenBao, source: Sources, mount: str, postgres: Postgres) -> None:
    app = source(path=f"{mount}/creds/app")
    first = app.fetched()
    bao.write(f"sys/leases/revoke-prefix/{mount}/creds/app")
    until(lambda: not postgres.has_role(username(first)))
    second = app.fetched(held(first))
    assert username(second) != username(first)
    assert lets_in(postgres, second)


def test_a_renewal_that_fails_makes_no_login(bao: OpenBao, source: Sources, mount: str) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(503) if asked.path == "/v1/sys/leases/renew" else passed_on(bao, asked)

    with serving(answer) as address:
        app = source(path=f"{mount}/creds/app", address=address)
        first = app.fetched()
        for _ in range(3):
            with pytest.raises(TransientError, match="503"):
                app.look(held(first))
    assert made(bao, mount) == 1


def test_one_look_asks_for_one_login_even_where_asking_for_the_mount_is_forbidden(
    bao: OpenBao, source: Sources, mount: str, postgres: Postgres
) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(403) if asked.path.startswith("/v1/sys/internal/") else passed_on(bao, asked)

    with serving(answer) as address:
        app = source(path=f"{mount}/creds/app", address=address)
        assert lets_in(postgres, app.fetched())
        assert made(bao, mount) == 1
        app.fetched()
    assert made(bao, mount) == 2


def test_a_database_that_is_away_is_asked_once_a_look(bao: OpenBao, source: Sources, mount: str) -> None:
    bao.write(f"{mount}/config/db", {"connection_url": NOWHERE, "verify_connection": False})
    with pytest.raises(TransientError, match=f"{mount}/creds/app.*500"):
        source(path=f"{mount}/creds/app").look()
    assert made(bao, mount) == 1


def test_a_lease_is_not_believed_to_outlive_the_token_behind_it(
    bao: OpenBao, source: Sources, file: Any, confined: str
) -> None:
    token = file(bao.new_token([confined], ttl="50s", renewable=False))
    found = source(path=f"{confined}/creds/app", auth={"token": token}).fetched()
    assert found.lease is not None
    assert timedelta(seconds=30) < found.lease.duration <= timedelta(seconds=50)


def test_a_lease_got_with_another_token_is_replaced(bao: OpenBao, source: Sources, file: Any, confined: str) -> None:
    token = file(bao.new_token([confined]))
    app = source(path=f"{confined}/creds/app", auth={"token": token})
    first = app.fetched()
    token["file"].write_text(bao.new_token([confined]))
    assert app.fetched(held(first)).revision != first.revision


def test_a_lease_that_died_with_its_token_is_replaced_with_one_new_login(
    bao: OpenBao, source: Sources, file: Any, confined: str, postgres: Postgres
) -> None:
    role_id, secret_id = bao.approle(confined, [confined])
    approle = {"role_id": file(role_id), "secret_id": file(secret_id)}
    app = source(path=f"{confined}/creds/app", auth={"approle": approle})
    first = app.fetched()
    bao.write("sys/leases/revoke-prefix/auth/approle/login")
    until(lambda: not postgres.has_role(username(first)))
    second = app.fetched(held(first))
    assert lets_in(postgres, second)
    assert made(bao, confined) == 2


def test_an_expired_lease_is_not_even_tried(bao: OpenBao, source: Sources, mount: str) -> None:
    clock = Clock(datetime.now(UTC))
    app = source(path=f"{mount}/creds/app", shared=Sessions(clock))
    first = app.fetched()
    clock.now += timedelta(seconds=61)
    before = len(bao.requests("sys/leases/renew"))
    assert app.fetched(held(first)).revision != first.revision
    assert len(bao.requests("sys/leases/renew")) == before


def test_the_password_is_in_no_representation(source: Sources, mount: str) -> None:
    found = source(path=f"{mount}/creds/app").fetched()
    assert contents(found)["password"].decode() not in repr(found)


def test_a_lease_that_nobody_needs_any_more_is_ended(source: Sources, mount: str, postgres: Postgres) -> None:
    app = source(path=f"{mount}/creds/app")
    found, kept = app.fetched(), app.fetched()
    assert found.lease is not None
    app.provider.revoke(found.lease)
    assert not lets_in(postgres, found)
    assert not postgres.has_role(username(found))
    assert lets_in(postgres, kept)
    app.provider.revoke(found.lease)


def test_a_lease_that_the_policy_lets_nobody_end_runs_out_by_itself(
    bao: OpenBao, source: Sources, file: Any, confined: str, postgres: Postgres
) -> None:
    token = file(bao.new_token([confined]))
    app = source(path=f"{confined}/creds/app", auth={"token": token})
    found = app.fetched()
    assert found.lease is not None
    line = r'path "sys/leases/revoke" \{ capabilities = \["update"\] \}'
    with pytest.raises(PermanentError, match=f"run out by itself.*{line}"):
        app.provider.revoke(found.lease)
    assert lets_in(postgres, found)


def test_a_lease_whose_database_is_away_is_ended_later(
    bao: OpenBao, source: Sources, mount: str, postgres: Postgres
) -> None:
    app = source(path=f"{mount}/creds/app")
    found = app.fetched()
    assert found.lease is not None
    bao.write(f"{mount}/config/db", {"connection_url": NOWHERE, "verify_connection": False})
    with pytest.raises(TransientError, match="connection refused"):
        app.provider.revoke(found.lease)
    bao.write(f"{mount}/config/db", {"connection_url": postgres.connection_url})
    app.provider.revoke(found.lease)
    assert not lets_in(postgres, found)


def test_a_lease_of_another_path_is_neither_ended_nor_renewed(
    bao: OpenBao, source: Sources, mount: str, postgres: Postgres
) -> None:
    bao.write(f"{mount}/roles/other", bao.read(f"{mount}/roles/app")["data"])
    others = source(path=f"{mount}/creds/other").fetched()
    app = source(path=f"{mount}/creds/app")
    assert others.lease is not None
    with pytest.raises(PermanentError, match=f"not made at {mount}/creds/app"):
        app.provider.revoke(others.lease)
    assert lets_in(postgres, others)
    before = bao.requests("sys/leases/renew")
    assert username(app.fetched(held(others))) != username(others)
    assert bao.requests("sys/leases/renew") == before


@pytest.mark.parametrize(
    ("id_", "expected"),
    [
        ("database/creds/app/x#mark", True),
        ("creds/app/x#mark", True),  # the namespace may be part of the path
        ("database/creds/app2/x#mark", False),
        ("database/creds/app/below/x#mark", False),
        ("base/creds/app/x#mark", False),
        ("x#mark", False),
        ("/x#mark", False),
        ("database/creds/app/x", False),
    ],
)
def test_a_lease_is_from_the_path_that_its_id_begins_with(id_: str, expected: bool) -> None:
    lease = Lease(id=id_, granted_at=datetime.now(UTC), duration=timedelta(hours=1), renewable=True)
    assert leases.is_from(lease, "database/creds/app") is expected
