"""examples/vault-agent, before and after, side by side on one OpenBao: the same files, and what that takes."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from refresher.demo.openbao import OpenBao
from tests.fakes.app import App
from tests.journeys import agent
from tests.journeys.agent import Agent
from tests.journeys.beside import FILES, SECRETS, put, secret_server, secrets, side_by_side
from tests.waiting import until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    with secret_server(tmp_path_factory.mktemp("bao")) as bao:
        yield bao


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def read_of(secret: str) -> str:
    return f"read secret/data/{secret}"


def without_its_token(requests: list[str]) -> list[str]:
    """What was asked besides the token's own life, and which path a look-up of the mount was for."""
    mounts = "read sys/internal/ui/mounts/"
    about_secrets = [each for each in requests if " auth/token/" not in each]
    return sorted("mounts" if each.startswith(mounts) else each for each in about_secrets)


def test_the_twenty_files_are_the_same_bytes_for_fewer_requests(tmp_path: Path, server: OpenBao, app: App) -> None:
    with side_by_side(tmp_path, server, app, agent_looks="5m", every="365d") as pair:
        assert len(pair.files()) == FILES
        assert pair.files() == pair.agent.files()
        assert (mode(pair.agent.rendered / "pgpass"), mode(pair.sidecar.volume / "rendered/pgpass")) == (0o644, 0o640)
        assert without_its_token(pair.asked("ours")) == sorted([*map(read_of, SECRETS), "mounts"])
        assert without_its_token(pair.asked("agent")) == sorted([*map(read_of, SECRETS), *["mounts"] * len(SECRETS)])


def test_a_look_that_finds_nothing_new_is_one_request_a_secret_as_it_is_the_agents(
    tmp_path: Path, server: OpenBao, app: App
) -> None:
    with side_by_side(tmp_path, server, app, agent_looks="1s", every="1s") as pair:
        begun = {who: len(pair.asked(who)) for who in ("ours", "agent")}
        until(lambda: all(len(pair.asked(who)) > begun[who] + 3 * len(SECRETS) for who in begun), within=60)
        for who in begun:
            read = without_its_token(pair.asked(who)[begun[who] :])
            assert set(read) == set(map(read_of, SECRETS))
            # A look may have been under way at the beginning, and another one be so at the end.
            assert max(map(read.count, read)) - min(map(read.count, read)) <= 2, "each as often as the others"
        assert (pair.state()["generation"], len(app.heard)) == (1, 1)


def test_a_change_of_all_five_is_one_flip_and_one_telling_where_the_agent_writes_twenty_times(
    tmp_path: Path, server: OpenBao, app: App
) -> None:
    with side_by_side(tmp_path, server, app, agent_looks="1s", every="365d") as pair:
        until(lambda: len(app.heard) == 1)
        until(lambda: pair.agent.writes == FILES)
        writes = pair.agent.writes
        put(server, secrets("two"))
        assert pair.sidecar.ask("POST", "/refresh/shop?until=told").status == 200
        assert (pair.state()["generation"], len(app.heard)) == (2, 2)
        until(pair.agree, within=60)
        until(lambda: pair.agent.writes == writes + FILES, within=60)


def test_a_look_between_two_of_the_changes_is_a_flip_of_what_there_was_and_the_next_one_brings_the_rest(
    tmp_path: Path, server: OpenBao, app: App
) -> None:
    with side_by_side(tmp_path, server, app, agent_looks="1s", every="365d") as pair:
        two = secrets("two")
        before = pair.files()
        put(server, {"db": two["db"]})
        pair.sidecar.ask("POST", "/refresh/shop")
        between = pair.files()
        assert b"two" in between["pgpass"]
        assert between["smtp.json"] == before["smtp.json"]
        put(server, {name: two[name] for name in SECRETS if name != "db"})
        pair.sidecar.ask("POST", "/refresh/shop?until=told")
        assert pair.state()["generation"] == 3
        until(pair.agree, within=60)


def test_a_field_that_is_gone_is_no_value_in_the_agents_files_and_leaves_ours_until_it_is_back(
    tmp_path: Path, server: OpenBao, app: App
) -> None:
    with side_by_side(tmp_path, server, app, agent_looks="1s", every="1s") as pair:
        until(lambda: len(app.heard) == 1)
        before, db = pair.files(), secrets()["db"]
        put(server, {"db": {name: value for name, value in db.items() if name != "password"}})
        until(lambda: pair.agent.files()["url.txt"] == b"postgres://shop:<no value>@one.internal/shop", within=60)
        until(lambda: pair.state()["result"] == "rejected", within=60)
        error = pair.state()["error"].removeprefix("refused before, and it is still the same: ")
        assert error == "application.properties: application.properties.j2: line 3: 'db.password' is undefined"
        assert pair.files() == before
        put(server, {"db": db | {"password": "back"}})
        until(lambda: pair.files()["url.txt"] == b"postgres://shop:back@one.internal/shop", within=60)
        until(pair.agree, within=60)
        until(lambda: len(app.heard) == 2)


def failing(server: OpenBao, *, exits: bool) -> str:
    """A configuration of one template, whose command fails."""
    once = agent.of_templates(
        server.address, {"host": '{{ with secret "secret/data/db" }}{{ .Data.data.host }}{{ end }}'}
    )
    looks = 'static_secret_render_interval = "1s"\n exit_on_retry_failure = '
    changes = {
        "exit_after_auth = true": "",
        "exit_on_retry_failure = true": f"{looks}{str(exits).lower()}\n",
        "template {\n": 'template {\n command = "echo told >> told; false"\n',
    }
    for old, new in changes.items():
        assert old in once
        once = once.replace(old, new)
    return once


def test_a_command_that_fails_ends_an_agent_that_exits_on_failures(tmp_path: Path, server: OpenBao) -> None:
    put(server, secrets())
    ended = agent.ended(tmp_path / "agent", failing(server, exits=True), server.token)
    assert ended.returncode == 1
    assert Agent(tmp_path / "agent").commands == 1


def test_a_command_that_fails_is_not_run_again_by_an_agent_that_goes_on(tmp_path: Path, server: OpenBao) -> None:
    put(server, secrets())
    named = uuid4().hex[:8]
    token = server.new_token(["reader"], display_name=named)
    with agent.running(tmp_path / "agent", failing(server, exits=False), token, files=1) as theirs:
        until(lambda: theirs.commands)
        looks = len(server.requests("secret/data/db", by=named))
        until(lambda: len(server.requests("secret/data/db", by=named)) > looks + 3, within=60)
        assert theirs.commands == 1


def test_an_app_that_is_not_up_is_told_until_it_has_heard(tmp_path: Path, server: OpenBao, app: App) -> None:
    app.answering(503)
    with side_by_side(tmp_path, server, app, agent_looks="5m", every="365d") as pair:
        until(lambda: len(app.heard) >= 2, within=60)
        app.answering(200)
        until(lambda: pair.state()["notified_generation"] == 1, within=60)
