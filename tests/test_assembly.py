"""What another configuration changes of the assets that run."""

from pathlib import Path
from typing import Any

import pytest

from refresher.errors import ConfigError
from refresher.settings import Assembly, SharedParts, assemble, difference, named_files
from refresher.settings.read import read
from tests.fakes import acme

SOURCE = {"source": {"acme": {"item": "one"}}}


@pytest.fixture(autouse=True)
def _acme_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    acme.install(monkeypatch, tmp_path / "packages")


class Configured:
    """A configuration that is changed, and what becomes of its assets."""

    def __init__(self) -> None:
        self.shared = SharedParts()
        self.content: dict[str, Any] = {"assets": {"a": dict(SOURCE), "b": dict(SOURCE)}}
        self.running = self.assembled(None)

    def assembled(self, before: Assembly | None) -> Assembly:
        return assemble(read(self.content, {}), self.shared, before)

    def after(self, **sections: Any) -> str:
        """What the sections change, in words."""
        self.content |= sections
        before, self.running = self.running, self.assembled(self.running)
        return str(difference(before, self.running))


@pytest.fixture
def configured() -> Configured:
    return Configured()


def test_the_same_configuration_changes_nothing(configured: Configured) -> None:
    assert configured.after() == "nothing differs"


def test_added_changed_and_removed_assets_are_told_apart(configured: Configured) -> None:
    assets = {"b": {**SOURCE, "required": False}, "c": SOURCE}
    assert configured.after(assets=assets) == "added c; changed b; removed a; 0 as before"
    assert configured.after(assets=assets | {"d": SOURCE}) == "added d; 2 as before"


@pytest.mark.parametrize(
    "keys",
    [
        {"source": {"acme": {"item": "two"}}},
        {"source": {"acme": {"item": "one", "token": {"env": "A"}}}},
        {"verify": [{"acme": {"level": 2}}]},
        {"publish": {"keep": 5}},
        {"publish": {"directory": "elsewhere"}},
        {"notify": [{"acme": {"url": "http://a"}}]},
        {"settle": "2s"},
        {"on_reject": "rollback"},
        {"refresh": {"every": "7m"}},
        {"required": False},
        {"max_stale": "1h"},
        {"limits": {"files": 3}},
        {"unpack": True},
    ],
)
def test_whatever_an_asset_is_made_from_makes_another_one_of_it(configured: Configured, keys: dict[str, Any]) -> None:
    assert configured.after(assets={"a": SOURCE, "b": {**SOURCE, **keys}}) == "changed b; 1 as before"


def test_what_all_assets_are_given_changes_those_that_do_not_say_it_themselves(configured: Configured) -> None:
    assets = {"a": SOURCE, "b": {**SOURCE, "required": True}}
    assert configured.after(assets=assets, defaults={"required": False}) == "changed a; 1 as before"
    assert configured.after(providers={"acme": {"address": "here"}}) == "changed a, b; 0 as before"
    assert configured.after(volume="/elsewhere") == "changed a, b; 0 as before"


def test_another_order_is_no_change_and_is_kept(configured: Configured) -> None:
    assert configured.after(assets={"b": SOURCE, "a": SOURCE}) == "nothing differs"
    assert list(configured.running.assets) == ["b", "a"]


def test_a_file_that_a_check_names_is_part_of_it(configured: Configured, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text("one")
    assets = {"a": SOURCE, "b": {**SOURCE, "verify": [{"acme": {"roots": str(roots)}}]}}
    configured.after(assets=assets)
    assert named_files(configured.running.settings) == {roots}
    assert not configured.running.is_outdated()
    roots.write_text("two")
    assert configured.running.is_outdated()
    assert configured.after() == "changed b; 1 as before"


def test_the_files_of_templates_are_known_with_those_that_they_include_and_those_that_are_missing(
    configured: Configured, tmp_path: Path
) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "app.j2").write_text("{% include 'parts/head.j2' %}{% include 'missing.j2' %}")
    (tmp_path / "parts/head.j2").write_text("{{ wrong")
    configured.content = {"assets": {"a": {**SOURCE, "render": {"app": str(tmp_path / "app.j2")}}}}
    named = named_files(read(configured.content, {}))
    assert named == {tmp_path / name for name in ("app.j2", "parts/head.j2", "missing.j2")}


def test_a_configuration_with_a_problem_makes_nothing_that_stays_open(configured: Configured) -> None:
    impossible = {"source": {"acme": {"item": "impossible"}}}
    closed: list[str] = []

    def close(provider: acme.AcmeProvider) -> None:
        closed.append(provider.options.item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acme.AcmeProvider, "close", close)
        with pytest.raises(ConfigError, match=r"assets\.z\.source\.acme: the item can't be had"):
            configured.after(assets={"a": SOURCE, "new": {"source": {"acme": {"item": "two"}}}, "z": impossible})
    assert closed == ["two"]


@pytest.mark.parametrize("ability", ["endpoint", "watched", "follows"])
def test_a_provider_that_can_not_say_where_to_ask_is_refused_before_anything_is_changed(
    configured: Configured, ability: str
) -> None:
    def wrong(provider: acme.AcmeProvider) -> object:
        if provider.options.item == "wrong":
            raise ValueError("hunter2")
        return ()

    before, closed = configured.running, list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acme.AcmeProvider, ability, property(wrong), raising=False)
        patch.setattr(acme.AcmeProvider, "follow", lambda *_: None, raising=False)
        patch.setattr(acme.AcmeProvider, "close", lambda made: closed.append(made.options.item))
        with pytest.raises(
            ConfigError, match=r"assets\.z\.source: its provider can't say where .*ValueError"
        ) as raised:
            configured.after(assets={"a": SOURCE, "z": {"source": {"acme": {"item": "wrong"}}}})
    assert "hunter2" not in str(raised.value)
    assert (configured.running, closed) == (before, ["wrong"])


def test_a_plugin_s_bug_leaves_nothing_open_that_was_made_before(configured: Configured) -> None:
    def implied(provider: acme.AcmeProvider) -> list[object]:
        if provider.options.item == "wrong":
            raise ValueError("a bug")
        return []

    closed: list[str] = []
    items = {name: {"source": {"acme": {"item": name}}} for name in ("two", "wrong")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acme.AcmeProvider, "implied_verify", property(implied))
        patch.setattr(acme.AcmeProvider, "close", lambda made: closed.append(made.options.item))
        with pytest.raises(ValueError, match="a bug"):
            configured.after(assets={"a": SOURCE, **items})
    assert sorted(closed) == ["two", "wrong"]


def test_what_all_transfers_share_stays_one_thing(configured: Configured) -> None:
    before = configured.running.traffic
    assert configured.after(transfers={"connections": 3}) == "nothing differs"
    assert configured.running.traffic is before
