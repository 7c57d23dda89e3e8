import json
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from providers.vault import VaultProvider
from refresher.contract import Unchanged
from refresher.demo.openbao import OpenBao
from refresher.errors import PermanentError, TransientError
from tests.fakes.serving import Asked, Reply, serving
from tests.providers.vault_sources import Source, Sources, contents, held, passed_on, unique


@pytest.fixture
def source(bao: OpenBao, tmp_path: Path) -> Sources:
    return lambda **options: Source(bao, tmp_path, **options)


@pytest.fixture
def versioned(bao: OpenBao) -> str:
    mount = unique("kv2")
    bao.kv(mount, 2)
    return mount


@pytest.fixture
def plain(bao: OpenBao) -> str:
    mount = unique("kv1")
    bao.kv(mount, 1)
    return mount


def test_each_field_of_a_versioned_secret_is_a_file(bao: OpenBao, source: Sources, versioned: str) -> None:
    bao.write(f"{versioned}/data/app", {"data": {"user": "ann", "limits": {"cpu": 2}, "on": True}})
    found = source(path=f"{versioned}/app").fetched()
    assert contents(found) == {"user": b"ann", "limits": b'{"cpu": 2}', "on": b"true"}
    assert all(file.sensitive for file in found.files)
    assert not found.minted


def test_a_versioned_path_may_be_written_with_data(bao: OpenBao, source: Sources, versioned: str) -> None:
    bao.write(f"{versioned}/data/team/app", {"data": {"user": "ann"}})
    for path in (f"{versioned}/team/app", f"{versioned}/data/team/app", f"/v1/{versioned}/team/app/"):
        assert contents(source(path=path).fetched()) == {"user": b"ann"}


def test_a_mount_of_several_parts_is_found_out(bao: OpenBao, source: Sources) -> None:
    mount = f"{unique('deep')}/er"
    bao.kv(mount, 2)
    bao.write(f"{mount}/data/app", {"data": {"user": "ann"}})
    assert contents(source(path=f"{mount}/app").fetched()) == {"user": b"ann"}


def test_an_unversioned_secret_keeps_a_field_called_data(bao: OpenBao, source: Sources, plain: str) -> None:
    bao.write(f"{plain}/data/app", {"data": {"a": 1}, "metadata": {"version": 1}})
    assert contents(source(path=f"{plain}/data/app").fetched()) == {"data": b'{"a": 1}', "metadata": b'{"version": 1}'}


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_held_is_unchanged_until_it_is_written_again(bao: OpenBao, source: Sources, version: int) -> None:
    mount = unique("kv")
    bao.kv(mount, version)
    path, wrap = (f"{mount}/data/app", lambda d: {"data": d}) if version == 2 else (f"{mount}/app", lambda d: d)
    bao.write(path, wrap({"user": "ann"}))
    app = source(path=f"{mount}/app")
    first = app.fetched()
    assert isinstance(app.look(held(first)), Unchanged)
    bao.write(path, wrap({"user": "bob"}))
    second = app.fetched(held(first))
    assert second.revision != first.revision
    assert contents(second) == {"user": b"bob"}


@pytest.mark.parametrize("version", [1, 2])
def test_an_unchanged_look_is_one_request(bao: OpenBao, source: Sources, version: int) -> None:
    mount = unique("kv")
    bao.kv(mount, version)
    bao.write(f"{mount}/{'data/' * (version - 1)}app", {"data": {"user": "ann"}})
    app = source(path=f"{mount}/app")
    first = app.fetched()
    before = len(bao.requests(mount))
    app.look(held(first))
    assert len(bao.requests(mount)) - before == 1


def test_the_engine_is_found_out_once_for_all_paths_of_a_mount(
    bao: OpenBao, source: Sources, versioned: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(bao.token)
    together = {"shared": VaultProvider.Shared(), "auth": {"token": {"file": token}}}
    for name in ("one", "two", "three"):
        bao.write(f"{versioned}/data/{name}", {"data": {"value": name}})
        assert contents(source(path=f"{versioned}/{name}", **together).fetched()) == {"value": name.encode()}
    assert len(bao.requests(f"sys/internal/ui/mounts/{versioned}/")) == 1


def test_a_secret_made_anew_after_deletion_is_another_revision(bao: OpenBao, source: Sources, versioned: str) -> None:
    app = source(path=f"{versioned}/app")
    bao.write(f"{versioned}/data/app", {"data": {"user": "ann"}})
    first = app.fetched()
    bao.delete(f"{versioned}/metadata/app")
    bao.write(f"{versioned}/data/app", {"data": {"user": "bob"}})
    assert contents(app.fetched(held(first))) == {"user": b"bob"}


def test_an_engine_replaced_by_one_of_the_other_version_is_noticed(bao: OpenBao, source: Sources, plain: str) -> None:
    bao.write(f"{plain}/app", {"user": "ann"})
    app = source(path=f"{plain}/app")
    first = app.fetched()
    bao.delete(f"sys/mounts/{plain}")
    bao.kv(plain, 2)
    bao.write(f"{plain}/data/app", {"data": {"user": "bob"}})
    with pytest.raises(PermanentError):
        app.look(held(first))
    assert contents(app.fetched(held(first))) == {"user": b"bob"}


@pytest.fixture
def gateway(bao: OpenBao) -> Iterator[str]:
    """The address of a gateway in front of the server that lets nobody ask for mounts."""

    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/v1/sys/internal/"):
            return Reply(403, b'{"errors": ["not through here"]}')
        return passed_on(bao, asked)

    with serving(answer) as address:
        yield address


@pytest.mark.parametrize(("version", "written"), [(1, "app"), (1, "data/app"), (2, "app"), (2, "data/app")])
def test_where_asking_for_the_mount_is_forbidden_reading_tells(
    bao: OpenBao, source: Sources, gateway: str, version: int, written: str
) -> None:
    mount = unique("kv")
    bao.kv(mount, version)
    bao.write(f"{mount}/{'data/app' if version == 2 else written}", {"data": {"user": "ann"}})
    app = source(path=f"{mount}/{written}", address=gateway)
    first = app.fetched()
    assert contents(first) == ({"user": b"ann"} if version == 2 else {"data": b'{"user": "ann"}'})
    assert isinstance(app.look(held(first)), Unchanged)


def test_where_nothing_can_be_found_out_the_reason_of_the_read_is_given(
    source: Sources, gateway: str, plain: str
) -> None:
    with pytest.raises(PermanentError, match="nothing is there"):
        source(path=f"{plain}/absent", address=gateway).look()
    with pytest.raises(TransientError, match="502"), serving(overloaded) as address:
        source(path=f"{plain}/absent", address=address).look()


def overloaded(asked: Asked) -> Reply:
    """What a gateway answers that knows tokens only."""
    if asked.path.endswith("lookup-self"):
        return Reply(200, b'{"data": {}}')
    return Reply(403) if asked.path.startswith("/v1/sys/internal/") else Reply(502)


@pytest.mark.parametrize("version", [1, 2])
def test_a_missing_path_is_permanent(bao: OpenBao, source: Sources, version: int) -> None:
    mount = unique("kv")
    bao.kv(mount, version)
    with pytest.raises(PermanentError, match=f"{mount}.*nothing is there"):
        source(path=f"{mount}/absent").look()


def test_a_missing_mount_is_permanent(source: Sources) -> None:
    with pytest.raises(PermanentError, match="absent-mount/app"):
        source(path="absent-mount/app").look()


def test_a_deleted_version_is_permanent_and_says_when(bao: OpenBao, source: Sources, versioned: str) -> None:
    bao.write(f"{versioned}/data/app", {"data": {"user": "ann"}})
    bao.delete(f"{versioned}/data/app")
    with pytest.raises(PermanentError, match=r"version 1 was deleted at 20\d\d-"):
        source(path=f"{versioned}/app").look()


def test_a_destroyed_version_is_permanent(bao: OpenBao, source: Sources, versioned: str) -> None:
    bao.write(f"{versioned}/data/app", {"data": {"user": "ann"}})
    bao.write(f"{versioned}/destroy/app", {"versions": [1]})
    with pytest.raises(PermanentError, match="version 1 was destroyed"):
        source(path=f"{versioned}/app").look()


@pytest.mark.parametrize("how", ["deleted", "destroyed"])
def test_where_asking_for_the_mount_is_forbidden_a_version_that_is_gone_still_says_why(
    bao: OpenBao, source: Sources, gateway: str, versioned: str, how: str
) -> None:
    bao.write(f"{versioned}/data/app", {"data": {"user": "ann"}})
    bao.write(f"{versioned}/{'delete' if how == 'deleted' else 'destroy'}/app", {"versions": [1]})
    with pytest.raises(PermanentError, match=f"version 1 was {how}"):
        source(path=f"{versioned}/app", address=gateway).look()


def test_a_version_that_will_be_deleted_is_read_until_then(bao: OpenBao, source: Sources, versioned: str) -> None:
    bao.write(f"{versioned}/metadata/app", {"delete_version_after": "1h"})
    bao.write(f"{versioned}/data/app", {"data": {"user": "ann"}})
    assert bao.read(f"{versioned}/data/app")["data"]["metadata"]["deletion_time"]
    assert contents(source(path=f"{versioned}/app").fetched()) == {"user": b"ann"}


def test_a_chosen_version_is_read(bao: OpenBao, source: Sources, gateway: str, versioned: str) -> None:
    for user in ("ann", "bob"):
        bao.write(f"{versioned}/data/app", {"data": {"user": user}})
    assert contents(source(path=f"{versioned}/app", version=1).fetched()) == {"user": b"ann"}
    assert contents(source(path=f"{versioned}/app", version=1, address=gateway).fetched()) == {"user": b"ann"}
    with pytest.raises(PermanentError, match="there is no version 3"):
        source(path=f"{versioned}/app", version=3).look()


def test_a_version_of_an_engine_that_keeps_none_is_permanent(bao: OpenBao, source: Sources, plain: str) -> None:
    bao.write(f"{plain}/app", {"user": "ann"})
    with pytest.raises(PermanentError, match="no version 2, the engine there keeps none: leave version out"):
        source(path=f"{plain}/app", version=2).look()


def with_right(bao: OpenBao, directory: Path, path: str, capability: str) -> dict[str, object]:
    """The login of somebody who may do this one thing."""
    name = unique("policy")
    bao.policy(name, f'path "{path}" {{ capabilities = ["{capability}"] }}')
    token = directory / name
    token.write_text(bao.new_token([name]))
    return {"token": {"file": token}}


def test_the_right_to_read_the_data_is_enough(bao: OpenBao, source: Sources, tmp_path: Path, versioned: str) -> None:
    bao.write(f"{versioned}/data/app", {"data": {"user": "ann"}})
    auth = with_right(bao, tmp_path, f"{versioned}/data/app", "read")
    assert contents(source(path=f"{versioned}/app", auth=auth).fetched()) == {"user": b"ann"}


def test_the_right_to_list_is_not_enough(bao: OpenBao, source: Sources, tmp_path: Path, versioned: str) -> None:
    bao.write(f"{versioned}/data/app", {"data": {"user": "ann"}})
    auth = with_right(bao, tmp_path, f"{versioned}/metadata/app", "list")
    with pytest.raises(PermanentError, match=r"data/app.*403.*permission denied"):
        source(path=f"{versioned}/app", auth=auth).look()


def test_a_secret_without_fields_is_permanent(bao: OpenBao, source: Sources, versioned: str) -> None:
    bao.write(f"{versioned}/data/app", {"data": {}})
    with pytest.raises(PermanentError, match="no fields"):
        source(path=f"{versioned}/app").look()


def test_a_missing_field_is_permanent_and_names_those_there_are(bao: OpenBao, source: Sources, versioned: str) -> None:
    bao.write(f"{versioned}/data/app", {"data": {"user": "ann", "password": "geheim-genug"}})
    with pytest.raises(PermanentError, match="no field pasword; it has password, user") as caught:
        source(path=f"{versioned}/app", fields=["pasword"]).look()
    assert "geheim" not in str(caught.value)


def test_a_field_that_is_null_is_not_there(bao: OpenBao, source: Sources, versioned: str) -> None:
    bao.write(f"{versioned}/data/app", {"data": {"user": "ann", "password": None, "text": "null"}})
    path = f"{versioned}/app"
    assert contents(source(path=path).fetched()) == {"user": b"ann", "text": b"null"}
    assert contents(source(path=path, file="app.env").fetched()) == {"app.env": b'text="null"\nuser="ann"\n'}
    for options in ({}, {"file": "app.env"}, {"file": "a", "format": "raw"}):
        with pytest.raises(PermanentError, match="has no field password; it has text, user"):
            source(path=path, fields=["password"], **options).look()


@pytest.mark.parametrize(("name", "read"), [("app.json", json.loads), ("app.yaml", yaml.safe_load)])
def test_a_typed_document_keeps_a_field_that_is_null(
    bao: OpenBao, source: Sources, plain: str, name: str, read: Callable[[bytes], object]
) -> None:
    bao.write(f"{plain}/app", {"user": "ann", "password": None})
    found = contents(source(path=f"{plain}/app", file=name).fetched())
    assert read(found[name]) == {"user": "ann", "password": None}
    chosen = contents(source(path=f"{plain}/app", file=name, fields=["password"]).fetched())
    assert read(chosen[name]) == {"password": None}


def test_a_secret_of_which_all_is_null_is_permanent(bao: OpenBao, source: Sources, plain: str) -> None:
    """An environment file without a line would be published otherwise."""
    bao.write(f"{plain}/app", {"password": None})
    for options in ({}, {"file": "app.env"}):
        with pytest.raises(PermanentError, match="no fields but those that are null"):
            source(path=f"{plain}/app", **options).look()


def test_chosen_fields_may_be_given_other_file_names(bao: OpenBao, source: Sources, plain: str) -> None:
    bao.write(f"{plain}/app", {"user": "ann", "password": "p", "other": "o"})
    assert contents(source(path=f"{plain}/app", fields=["user"]).fetched()) == {"user": b"ann"}
    chosen = source(path=f"{plain}/app", fields={"db/user.txt": "user", "again": "user"})
    assert contents(chosen.fetched()) == {"db/user.txt": b"ann", "again": b"ann"}


def test_fields_that_are_not_chosen_change_nothing(bao: OpenBao, source: Sources, plain: str) -> None:
    bao.write(f"{plain}/app", {"user": "ann", "ttl": 10})
    app = source(path=f"{plain}/app", fields=["user"])
    first = app.fetched()
    bao.write(f"{plain}/app", {"user": "ann", "ttl": 9})
    assert isinstance(app.look(held(first)), Unchanged)


FIELDS = {"USER": "ann", "PASSWORD": 'a"b\\c$HOME`id`\n second', "PORT": 5432}


@pytest.mark.parametrize(
    ("name", "read"),
    [("app.json", json.loads), ("app.yaml", yaml.safe_load), ("app.yml", yaml.safe_load)],
)
def test_one_document_holds_all_fields(bao: OpenBao, source: Sources, plain: str, name: str, read: object) -> None:
    bao.write(f"{plain}/app", FIELDS)
    found = contents(source(path=f"{plain}/app", file=name).fetched())
    assert list(found) == [name]
    assert read(found[name]) == FIELDS  # type: ignore[operator]


def test_an_env_document_means_to_a_shell_what_vault_holds(
    bao: OpenBao, source: Sources, plain: str, tmp_path: Path
) -> None:
    bao.write(f"{plain}/app", FIELDS)
    document = tmp_path / "app.env"
    document.write_bytes(contents(source(path=f"{plain}/app", file="app.env").fetched())["app.env"])
    script = f'. {document}; printf "%s|%s|%s" "$USER" "$PASSWORD" "$PORT"'
    shell = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, text=True)
    assert shell.stdout == f"ann|{FIELDS['PASSWORD']}|5432"


def test_a_field_that_no_variable_can_be_called_is_permanent(bao: OpenBao, source: Sources, plain: str) -> None:
    bao.write(f"{plain}/app", {"a-b; rm": "x"})
    with pytest.raises(PermanentError, match="environment variable"):
        source(path=f"{plain}/app", file="app", format="env").look()


def test_a_raw_document_is_one_field(bao: OpenBao, source: Sources, plain: str) -> None:
    bao.write(f"{plain}/app", {"config": "[a]\nb = 1\n", "other": "x"})
    app = source(path=f"{plain}/app", file="app.toml", format="raw", fields=["config"])
    assert tomllib.loads(contents(app.fetched())["app.toml"].decode()) == {"a": {"b": 1}}
    with pytest.raises(PermanentError, match="one field, and there are 2"):
        source(path=f"{plain}/app", file="app.toml", format="raw").look()


def test_a_path_of_any_engine_that_can_be_read_is_a_source(bao: OpenBao, source: Sources) -> None:
    mount = unique("pki")
    root = bao.pki(mount, "web")
    found = source(path=f"{mount}/cert/ca", fields={"ca.pem": "certificate"}).fetched()
    assert contents(found) == {"ca.pem": root.encode()}


def test_a_path_that_can_only_be_written_is_permanent(bao: OpenBao, source: Sources) -> None:
    mount = unique("pki")
    bao.pki(mount, "web")
    with pytest.raises(PermanentError, match=r"405.*unsupported operation"):
        source(path=f"{mount}/issue/web").look()
