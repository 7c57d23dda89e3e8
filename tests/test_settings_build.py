import os
from pathlib import Path
from typing import Any

import pytest

from refresher.errors import ConfigError
from refresher.model import Asset, NamedVerifier
from refresher.settings import SharedParts, assets
from refresher.settings.build import CHECKED_FILE_LIMIT
from refresher.settings.read import read
from refresher.sources import Sources
from refresher.sources.checks import OfSource
from tests.fakes import acme


@pytest.fixture(autouse=True)
def _acme_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    acme.install(monkeypatch, tmp_path / "packages")


def built(**keys: Any) -> Asset:
    content = {"assets": {"a": {"source": {"acme": {"item": "one"}}, **keys}}}
    (made,) = assets(read(content, {}), SharedParts())
    return made


def from_source(**options: Any) -> str:
    return built(source={"acme": {"item": "one", **options}}).source


def test_an_asset_has_its_plugins_made_with_their_options() -> None:
    made = built(notify=[{"acme": {"path": "told.json", "initial": False}}], settle="3s", on_reject="rollback")
    assert isinstance(made.provider, acme.AcmeProvider)
    assert made.provider.options.item == "one"
    assert isinstance(made.notifiers[0].notifier, acme.AcmeNotifier)
    assert made.notifiers[0].notifier.options.path == Path("/shared/told.json")
    assert (made.notifiers[0].name, made.notifiers[0].initial) == ("acme", False)
    assert (made.directory, made.volume) == (Path("/shared/a"), Path("/shared"))


def test_a_directory_elsewhere_is_on_a_volume_of_its_own() -> None:
    assert built(publish={"directory": "/elsewhere/tls"}).volume == Path("/elsewhere")


def test_what_providers_share_is_made_once_and_closed_at_the_end() -> None:
    shared = SharedParts()
    settings = read({"assets": {"a": {"source": "acme://one"}, "b": {"source": "acme://two"}}}, {})
    pools = {id(made.provider.shared) for made in assets(settings, shared)}  # type: ignore[attr-defined]
    again = assets(settings, shared)[0].provider.shared  # type: ignore[attr-defined]
    assert pools == {id(again)}
    shared.close()
    assert again.closed


def test_all_assets_share_the_traffic_that_transfers_allows() -> None:
    source = {"source": "acme://one"}
    settings = read({"transfers": {"connections": 2, "max_rate": "1MiB"}, "assets": {"a": source, "b": source}}, {})
    one, other = assets(settings, SharedParts())
    assert one.traffic is other.traffic
    assert one.traffic.throttle.rate == 2**20
    with one.traffic.more(3) as granted, other.traffic.more(3) as left:
        assert (granted, left) == (2, 0)


def test_a_shared_part_needs_no_close() -> None:
    class Plain:
        Shared = object

    shared = SharedParts()
    assert shared.arguments(Plain).keys() == {"shared"}
    shared.close()


def test_a_provider_that_shares_nothing_is_given_nothing() -> None:
    assert isinstance(built(source={"plain": {}}).provider, acme.PlainProvider)


def test_a_plugin_that_cannot_be_made_is_told_with_its_place_all_at_once() -> None:
    settings = read({"assets": {name: {"source": "acme://impossible"} for name in "ab"}}, {})
    with pytest.raises(ConfigError) as raised:
        assets(settings, SharedParts())
    assert raised.value.problems == (
        "assets.a.source.acme: the item can't be had",
        "assets.b.source.acme: the item can't be had",
    )


def test_what_the_provider_implies_is_verified_unless_the_user_lists_it() -> None:
    implied = built().verifiers
    assert [(check.name, check.verifier.options.level) for check in implied] == [("acme", 3)]  # type: ignore[attr-defined]
    listed = built(verify=[{"acme": {"level": 9}}]).verifiers
    assert [check.verifier.options.level for check in listed] == [9]  # type: ignore[attr-defined]


def test_a_provider_that_implies_nonsense_is_told_as_the_source_of_it() -> None:
    with pytest.raises(
        ConfigError, match=r"assets\.a\.source\.acme\.implied_verify\[0\]\.acme\.level: must be a whole"
    ):
        built(source={"acme": {"item": "misleading"}})


def test_the_source_fingerprint_follows_what_is_fetched() -> None:
    assert from_source() == from_source()
    assert from_source().startswith("sha256:")
    assert len({from_source(), from_source(item="two"), from_source(part="2KiB")}) == 3


def test_the_source_fingerprint_is_blind_to_how_the_source_is_reached() -> None:
    assert from_source(address="https://b", token={"env": "ACME"}, auth={"user": "me"}) == from_source()


def test_the_source_fingerprint_is_blind_to_how_a_value_is_written_and_to_defaults() -> None:
    assert from_source(part="1KiB") == from_source(part=1024) == from_source()


def test_a_secrets_value_is_no_part_of_a_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    before = from_source(token={"file": str(file)})
    file.write_text("second")
    assert from_source(token={"file": str(file)}) == before


def test_the_checks_fingerprint_follows_the_verifiers_their_options_and_their_order() -> None:
    prints = [
        built(source={"plain": {}}, verify=verify).checks
        for verify in (
            [],
            ["acme"],
            [{"acme": {"level": 2}}],
            ["acme", {"acme": {"level": 2}}],
            [{"acme": {"level": 1}}],
        )
    ]
    assert len(set(prints)) == 4
    assert prints[1] == prints[4]


def test_the_checks_fingerprint_follows_the_content_of_the_files_they_name(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"

    def checks() -> str:
        return built(verify=[{"acme": {"roots": str(roots)}}]).checks

    missing = checks()
    roots.write_text("one")
    first = checks()
    assert first == checks()
    roots.write_text("two")
    assert len({missing, first, checks()}) == 3


def test_the_checks_fingerprint_survives_a_file_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", CHECKED_FILE_LIMIT + 1)
    paths = [tmp_path, tmp_path / "huge", tmp_path / "nothing", Path("/dev/zero"), Path("/proc/self/mem")]
    assert len({built(verify=[{"acme": {"roots": str(path)}}]).checks for path in paths}) == 5


def test_a_notifiers_key_follows_its_options_and_not_whether_it_is_told_at_first() -> None:
    def key(**options: Any) -> str:
        return built(notify=[{"acme": options}]).notifiers[0].key

    assert key(url="http://a") == key(url="http://a", initial=False)
    assert key(url="http://a") != key(url="http://b")
    assert key(url="http://a").startswith("acme-")


def test_the_checks_fingerprint_follows_the_limits_and_the_layout() -> None:
    prints = [
        built(**keys).checks
        for keys in (
            {},
            {"limits": {"file": "1MiB"}},
            {"limits": {"total": "1MiB"}},
            {"limits": {"files": 7}},
            {"publish": {"layout": "file"}},
        )
    ]
    assert len(set(prints)) == 5


def test_the_checks_fingerprint_is_blind_to_what_refuses_nothing() -> None:
    assert built(limits={"min_rate": "1KiB"}, publish={"keep": 5, "grace": "5m"}).checks == built().checks


SEVERAL = {"one": "acme://one", "two": {"plain": {}}}


def several(**keys: Any) -> Asset:
    (made,) = assets(read({"assets": {"a": {"sources": SEVERAL, **keys}}}, {}), SharedParts())
    return made


def test_several_sources_are_made_into_one_provider() -> None:
    made = several()
    assert isinstance(made.provider, Sources)
    assert made.provider.watched == [Path("/acme")]


def test_the_fingerprint_of_several_sources_follows_each_and_not_their_order() -> None:
    other = {"two": {"plain": {}}, "one": "acme://one"}
    assert several().source == several(sources=other).source
    changed = [{"one": "acme://else"}, {"one": "acme://one"}, {"uno": "acme://one", "two": {"plain": {}}}]
    assert len({several().source, *(several(sources=each).source for each in changed)}) == 4


def test_what_a_source_implies_is_verified_of_it_alone_unless_the_user_lists_it_for_it() -> None:
    (implied,) = several().verifiers
    assert isinstance(implied.verifier, OfSource)
    assert (implied.name, implied.verifier.source, level(implied)) == ("acme", "one", 3)
    (listed,) = several(verify=[{"acme": {"source": "one", "level": 9}}]).verifiers
    assert level(listed) == 9
    for_another = several(verify=[{"acme": {"source": "two", "level": 9}}]).verifiers
    assert [level(check) for check in for_another] == [9, 3]


def level(check: NamedVerifier) -> int:
    assert isinstance(check.verifier, OfSource)
    return check.verifier.verifier.options.level  # type: ignore[attr-defined, no-any-return]


def test_a_check_of_another_source_is_another_check() -> None:
    one, two = (several(verify=[{"acme": {"source": name}}]).checks for name in ("one", "two"))
    assert one != two


def test_a_source_that_cannot_be_made_is_told_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^assets\.a\.sources\.one\.acme: the item can't be had$"):
        several(sources={"one": "acme://impossible"})


def test_providers_of_several_sources_share_what_all_share() -> None:
    shared = SharedParts()
    settings = read(
        {"assets": {"a": {"sources": {"x": "acme://one", "y": "acme://two"}}, "b": {"source": "acme://c"}}}, {}
    )
    made = assets(settings, shared)
    pools = {id(each.shared) for each in (*made[0].provider.sources.values(), made[1].provider)}  # type: ignore[attr-defined]
    assert len(pools) == 1
