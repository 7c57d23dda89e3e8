from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from refresher.address import Tcp, Unix
from refresher.errors import ConfigError
from refresher.model import LayoutName, OnReject
from refresher.options import Secret
from refresher.settings import Control, Settings, load, short_form, warnings
from refresher.settings.read import read
from tests.fakes import acme


@pytest.fixture(autouse=True)
def _acme_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    acme.install(monkeypatch, tmp_path / "packages")


def configured(text: str, **environment: str) -> Settings:
    return read(yaml.safe_load(text), environment)


def problems(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        configured(text, **environment)
    return list(raised.value.problems)


def asset(**keys: Any) -> str:
    return yaml.safe_dump({"assets": {"web-tls": {"source": {"acme": {"item": "one"}}, **keys}}})


def with_top(text: str, **keys: Any) -> str:
    return yaml.safe_dump({**yaml.safe_load(text), **keys})


def test_an_asset_needs_no_more_than_a_source() -> None:
    settings = configured(asset())
    web = settings.assets["web-tls"]
    assert settings.volume == Path("/shared")
    assert settings.control.listen == Tcp("127.0.0.1", 8470)
    assert settings.probes.listen == Tcp("0.0.0.0", 8471)
    assert web.publish.directory == Path("/shared/web-tls")
    assert web.publish.mode is None
    assert (web.publish.layout, web.publish.keep) == (LayoutName.KUBERNETES, 2)
    assert (web.refresh.every, web.refresh.jitter) == (timedelta(minutes=5), 0.10)
    assert (web.required, web.max_stale, web.on_reject) == (True, None, OnReject.KEEP)
    assert web.settle == timedelta(seconds=1)
    assert web.limits.total == 64 * 2**30
    assert web.verify == web.notify == ()


def test_every_key_of_an_asset_can_be_given() -> None:
    settings = configured("""
        volume: /data
        assets:
          model:
            source: {acme: {item: one, token: {env: TOKEN}}}
            verify: [acme, {acme: {level: 2}}]
            publish: {directory: model/current, layout: versions, store: volume, keep: 1, grace: 2m, mode: "0644",
                      key_mode: "0600", owner: 1000, group: 2000, fsync: false, nudge: true}
            notify: [{acme: {path: told.json, initial: false}}, {acme: {url: "http://app"}}]
            settle: 3s
            on_reject: rollback
            refresh: {every: 0, jitter: 0%, renew_at: 8h, spread: 1%, min_interval: 2s, timeout: 90s}
            required: false
            max_stale: 1d
            limits: {file: 1GiB, total: 2GB, files: 3, min_rate: 1KiB}
    """)
    model = settings.assets["model"]
    assert model.publish.directory == Path("/data/model/current")
    assert (model.publish.owner, model.publish.group, model.publish.key_mode) == ("1000", "2000", 0o600)
    assert [(choice.name, choice.options.model_dump()["level"]) for choice in model.verify] == [
        ("acme", 1),
        ("acme", 2),
    ]
    assert [choice.initial for choice in model.notify] == [False, True]
    assert model.notify[0].options.model_dump()["path"] == Path("/data/told.json")
    assert (model.refresh.every, model.refresh.renew_at) == (timedelta(0), timedelta(hours=8))
    assert (model.limits.file, model.limits.total, model.max_stale) == (2**30, 2 * 10**9, timedelta(days=1))


def test_all_problems_are_told_at_once_each_with_its_full_path() -> None:
    found = problems("""
        volum: /shared
        control: {listen: nowhere}
        assets:
          web-tls:
            source: {acme: {itm: one}}
            verify: [{acme: {level: high}}, acne]
            refresh: {every: soon}
            publish: {layout: flat, mode: 416}
            notify: {}
          Bad_Name: {source: {acme: {item: one}}}
          empty:
    """)
    assert set(found) == {
        "volum: is not a known key; did you mean 'volume'? "
        "known are assets, control, defaults, endpoints, probes, providers, "
        "transfers, volume",
        "control.listen: must be host:port, unix:/path, or off, found 'nowhere'",
        "assets.web-tls.source.acme.itm: is not a known key; did you mean 'item'? "
        "known are address, auth, headers, item, logins, names, part, token",
        "assets.web-tls.source.acme.item: is missing",
        "assets.web-tls.verify[0].acme.level: must be a whole number, found 'high'",
        next(
            problem for problem in found if problem.startswith("assets.web-tls.verify[1]: there is no verifier 'acne'")
        ),
        "assets.web-tls.refresh.every: must be a duration such as 30s, 5m, 12h or 7d, found 'soon'",
        "assets.web-tls.publish.layout: must be one of 'kubernetes', 'link', 'file', 'versions', found 'flat'",
        'assets.web-tls.publish.mode: must be an octal file mode in quotes, such as "0640", found 416',
        "assets.web-tls.notify: must be a list, found a mapping",
        "assets.Bad_Name: an asset's name must be lower-case letters, digits and dashes, at most 63, "
        "and not begin with a dash",
        "assets.empty: must be a mapping, found nothing",
    }


@pytest.mark.parametrize(
    "source",
    [
        {"token": "hunter2"},
        {"token": {"value": "hunter2"}},
        {"token": {"file": ["hunter2"]}},
        {"token": {"env": {"a": "hunter2"}}},
        {"headers": {"X-Key": "hunter2"}},
        {"headers": "hunter2"},
        {"auth": "hunter2"},
        {"auth": {"user": ["hunter2"]}},
    ],
)
def test_a_secret_that_stands_in_the_file_is_never_shown(source: dict[str, Any]) -> None:
    found = problems(asset(source={"acme": {"item": "one", **source}}))
    assert found
    assert "hunter2" not in "\n".join(found)


def test_of_a_url_only_the_kind_is_shown() -> None:
    (problem,) = problems(asset(refresh={"every": "https://me:hunter2@host/?signature=hunter2"}))
    assert problem.endswith("found a URL, https://…")


@pytest.mark.parametrize("written", ["https:/me:hunter2@host/x", "me:hunter2@host", "http//host/x?key=hunter2"])
def test_what_may_be_a_url_with_a_mistake_in_it_is_not_shown(written: str) -> None:
    (problem,) = problems(asset(refresh={"every": written}))
    assert problem.endswith("found text")


@pytest.mark.parametrize("text", ["a\0s3cr3t", "a\ud800s3cr3t"])
def test_a_text_that_no_path_can_hold_is_refused_wherever_it_stands(text: str) -> None:
    web = {"source": {"acme": {"item": text}}, "publish": {"directory": text}, "render": {"a": {"template": text}}}
    with pytest.raises(ConfigError) as raised:
        read({"volume": f"/{text}", "assets": {"web-tls": web}}, {})
    sentence = "must not hold a NUL, or half of a character (a surrogate)"
    assert [problem for problem in raised.value.problems if sentence in problem] == [
        f"volume: {sentence}",
        f"assets.web-tls.source.acme.item: {sentence}",
        f"assets.web-tls.publish.directory: {sentence}",
        f"assets.web-tls.render.a.template: {sentence}",
    ]


def test_a_long_value_is_shown_only_in_part() -> None:
    (problem,) = problems(asset(refresh={"every": "x" * 100_000}))
    assert len(problem) < 250


def test_an_unknown_key_is_answered_with_the_known_ones_however_deep() -> None:
    known = "is not a known key; did you mean 'user'? known are robot, user"
    assert problems(asset(source={"acme": {"item": "one", "auth": {"usr": "me"}}})) == [
        f"assets.web-tls.source.acme.auth.usr: {known}"
    ]
    assert problems(asset(source={"acme": {"item": "one", "logins": {"a": [{"usr": "me"}]}}})) == [
        f"assets.web-tls.source.acme.logins.a[0].usr: {known}"
    ]


def test_a_secret_must_be_a_reference() -> None:
    assert problems(asset(source={"acme": {"item": "one", "token": "hunter2"}})) == [
        "assets.web-tls.source.acme.token: must be a reference, {file: /path} or {env: NAME}, not the value itself"
    ]
    assert problems(with_top(asset(), control={"token": {}})) == [
        "control.token: must be exactly one of {file: /path} and {env: NAME}"
    ]


def test_a_key_of_a_union_is_named_once_without_the_names_of_types() -> None:
    found = problems(asset(source={"acme": {"item": "one", "names": 5}}))
    assert {problem.partition(":")[0] for problem in found} == {"assets.web-tls.source.acme.names"}


def test_text_that_yaml_read_as_something_else_is_to_be_quoted() -> None:
    assert problems(asset(source={"acme": {"item": 5}})) == [
        "assets.web-tls.source.acme.item: must be text, found 5; write it in quotes"
    ]


@pytest.mark.parametrize("source", [{}, {"acme": {"item": "a"}, "plain": {}}, [], 5])
def test_a_source_names_exactly_one_provider(source: object) -> None:
    (problem,) = problems(asset(source=source))
    assert problem.startswith("assets.web-tls.source: must be a mapping with exactly one provider's name")


def test_an_asset_can_have_several_sources_by_name() -> None:
    settings = configured("""
        providers: {acme: {address: "https://acme"}}
        assets: {a: {sources: {db_1: "acme://x", tls-2: {acme: {item: y}}, "3": {plain: }}}}
    """)
    sources = settings.assets["a"].sources
    assert [(name, choice.name) for name, choice in sources.items()] == [
        ("db_1", "acme"),
        ("tls-2", "acme"),
        ("3", "plain"),
    ]
    assert {choice.options.model_dump().get("address") for choice in sources.values()} == {"https://acme", None}


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("", ["assets.a.source: is missing; several go into sources"]),
        ("sources: {}", ["assets.a.sources: must have at least one source"]),
        ("sources: ", ["assets.a.sources: must be a mapping, found nothing"]),
        (
            "sources: {b: {plain: }}, publish: {layout: file}",
            [
                "assets.a.publish: must have another layout than file, which shows one file, "
                "and sources have a directory each"
            ],
        ),
        ("sources: [x]", ["assets.a.sources: must be a mapping, found a list"]),
        (
            "source: {plain: }, sources: {b: {plain: }}",
            ["assets.a.sources: must not be given beside source: an asset has one of both"],
        ),
        (
            "sources: {b: {}, c: 5}",
            [
                "assets.a.sources.b: must be a mapping with exactly one provider's name, found none",
                "assets.a.sources.c: must be a mapping with exactly one provider's name",
            ],
        ),
        (
            "sources: {b: {acme: {item: 5}}}",
            ["assets.a.sources.b.acme.item: must be text, found 5; write it in quotes"],
        ),
        (
            "sources: {Bad: {plain: }}",
            [
                "assets.a.sources.Bad: a source's name must be lower-case letters, digits, dashes and underscores, "
                "at most 63, and begin with a letter or a digit"
            ],
        ),
    ],
)
def test_what_is_wrong_with_several_sources_is_told_at_its_place(keys: str, found: list[str]) -> None:
    assert problems(f"assets: {{a: {{{keys}}}}}") == found


def test_a_wrong_default_of_a_provider_is_told_once_for_all_sources() -> None:
    assert problems("""
        providers: {acme: {part: big}}
        assets: {a: {sources: {b: "acme://x", c: "acme://y"}}}
    """) == ["providers.acme.part: must be a size such as 64MiB or 10GB, found 'big'"]


def test_a_verifier_can_be_for_one_of_several_sources() -> None:
    settings = configured("""
        assets: {a: {sources: {b: {plain: }, c: {plain: }}, verify: [{acme: {source: c, level: 5}}, acme]}}
    """)
    assert [check.source for check in settings.assets["a"].verify] == ["c", None]


@pytest.mark.parametrize("source", ["d", "[b]", "5", "null", "{b: c}"])
def test_a_verifier_for_a_source_that_is_not_there_is_a_problem(source: str) -> None:
    assert problems(f"assets: {{a: {{sources: {{b: {{plain: }}}}, verify: [{{acme: {{source: {source}}}}}]}}}}") == [
        "assets.a.verify[0].acme.source: must be one of the asset's sources: b"
    ]


@pytest.mark.parametrize(
    ("key", "meant"), [("trigger", "refresh.trigger"), ("every", "refresh.every"), ("keep", "publish.keep")]
)
def test_a_key_of_a_section_that_stands_beside_it_is_told_with_the_section(key: str, meant: str) -> None:
    (problem,) = problems(f"assets: {{a: {{source: {{plain: }}, {key}: 1}}}}")
    assert problem.startswith(f"assets.a.{key}: is not a known key; did you mean '{meant}'?")


def test_a_verifier_of_an_asset_with_one_source_names_none() -> None:
    (problem,) = problems("assets: {a: {source: {plain: }, verify: [{acme: {source: b}}]}}")
    assert problem == "assets.a.verify[0].acme.source: names one of several sources, and this asset has one"


@pytest.mark.parametrize("text", ["{}", "assets:", "assets: {}", "assets: []"])
def test_without_an_asset_there_is_nothing_to_do(text: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("assets: ")


def test_an_empty_section_counts_as_absent() -> None:
    settings = configured("""
        control:
        defaults:
        assets: {a: {source: {plain: }, verify: , publish: , refresh: , limits: , notify: }}
    """)
    assert settings.assets["a"].publish.keep == 2


def test_defaults_are_laid_under_each_asset_key_by_key() -> None:
    settings = configured("""
        defaults: {refresh: {every: 1h, jitter: 0%}, required: false, max_stale: 2h, limits: {files: 7}}
        assets:
          a: {source: {plain: }}
          b: {source: {plain: }, refresh: {every: 1m}, required: true, max_stale: null}
    """)
    a, b = settings.assets["a"], settings.assets["b"]
    assert (a.refresh.every, a.refresh.jitter, a.required, a.limits.files) == (timedelta(hours=1), 0.0, False, 7)
    assert (b.refresh.every, b.refresh.jitter, b.required) == (timedelta(minutes=1), 0.0, True)
    assert (a.max_stale, b.max_stale) == (timedelta(hours=2), None)


def test_a_wrong_default_is_told_once_and_where_it_stands() -> None:
    assert problems("""
        defaults: {refresh: {every: soon}}
        providers: {acme: {part: big}}
        assets: {a: {source: {acme: {item: x}}}, b: {source: {acme: {item: y}}}}
    """) == [
        "providers.acme.part: must be a size such as 64MiB or 10GB, found 'big'",
        "defaults.refresh.every: must be a duration such as 30s, 5m, 12h or 7d, found 'soon'",
    ]


def test_a_providers_defaults_are_laid_under_each_of_its_sources() -> None:
    settings = configured("""
        providers: {acme: {address: "https://acme", headers: {a: 1}, auth: {user: me}}}
        assets:
          a: {source: {acme: {item: x}}}
          b: {source: {acme: {item: x, headers: {b: 2}, auth: {robot: r2}}}}
          c: {source: "acme://y"}
          d: {source: {plain: }}
    """)
    a, b, c = (settings.assets[name].source.options.model_dump() for name in "abc")
    assert (a["address"], a["headers"], a["auth"]) == ("https://acme", {"a": 1}, {"user": "me", "robot": None})
    assert b["headers"] == {"a": 1, "b": 2}
    assert b["auth"] == {"user": None, "robot": "r2"}
    assert (c["item"], c["address"]) == ("y", "https://acme")


def test_defaults_for_a_provider_that_is_not_installed_are_a_problem() -> None:
    (problem,) = problems(with_top(asset(), providers={"vautl": {}}))
    assert problem.startswith("providers.vautl: there is no such provider; installed are: acme, ")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("acme://", "is not a URL of the provider 'acme': must name an item, acme://ITEM"),
        ("plain://x", "the provider 'plain' has no URL form; write its options as a mapping"),
        ("just text", "must be a mapping with a provider's name, or a URL such as https://host/path"),
    ],
)
def test_a_source_url_that_cannot_be_one_is_a_problem(url: str, sentence: str) -> None:
    assert problems(asset(source=url)) == [f"assets.web-tls.source: {sentence}"]


def test_a_url_of_an_unknown_kind_does_not_show_the_password_in_it() -> None:
    (problem,) = problems(asset(source="gopher://me:hunter2@host/"))
    assert "there is no provider 'gopher'" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("listen", "read_as"),
    [
        ("unix:/run/refresher/control.sock", Unix(Path("/run/refresher/control.sock"))),
        ("localhost:9000", Tcp("localhost", 9000)),
        ("[::1]:9000", Tcp("::1", 9000)),
        ("off", None),
        (False, None),
    ],
)
def test_the_control_api_listens_on_an_address_or_a_socket_or_not_at_all(listen: object, read_as: object) -> None:
    assert configured(with_top(asset(), control={"listen": listen})).control.listen == read_as


def test_an_address_is_written_as_it_was_read() -> None:
    for text in ("localhost:9000", "[::1]:9000", "unix:/run/control.sock"):
        listen = configured(with_top(asset(), control={"listen": text})).control.listen
        assert str(listen) == text
        assert Control(listen=listen).listen == listen


@pytest.mark.parametrize("listen", ["off", False])
def test_probes_can_be_switched_off_also_in_the_way_that_yaml_reads_it(listen: object) -> None:
    assert configured(with_top(asset(), probes={"listen": listen})).probes.listen is None


@pytest.mark.parametrize("listen", ["8471", ":8471", "host:99999", "unix:relative", True, 8471])
def test_what_nobody_can_listen_on_is_refused(listen: object) -> None:
    (problem,) = problems(with_top(asset(), control={"listen": listen}))
    assert problem.startswith("control.listen: must be host:port, unix:/path, or off, found ")


def test_listening_off_loopback_needs_a_token() -> None:
    assert problems(with_top(asset(), control={"listen": "0.0.0.0:8470"})) == [
        "control.token: is required when listen is neither loopback nor a Unix socket"
    ]
    control = {"listen": "0.0.0.0:8470", "token": {"file": "/run/token"}}
    assert configured(with_top(asset(), control=control)).control.token == Secret(file=Path("/run/token"))


def test_probes_and_control_need_an_address_each() -> None:
    same = {"listen": "127.0.0.1:9000"}
    assert problems(with_top(asset(), control=same, probes=same)) == ["probes: must listen elsewhere than control"]


@pytest.mark.parametrize(
    ("section", "key", "value", "sentence"),
    [
        ("publish", "keep", 0, "must be at least 1, because the current generation counts, found 0"),
        (
            "publish",
            "owner",
            "root",
            "must be a user id, or a user and a group id such as 1000:1000, in digits, found 'root'",
        ),
        ("publish", "group", "wheel", "must be a group id, in digits, found 'wheel'"),
        ("refresh", "timeout", 0, "must be longer than 0"),
        ("refresh", "renew_at", "0%", "must be more than 0, or what was fetched would be due again at once"),
        ("limits", "files", 0, "must be more than 0, found 0"),
        ("limits", "connections", 0, "must be more than 0, found 0"),
        ("limits", "max_rate", "63KiB", "must be at least 64KiB"),
    ],
)
def test_values_that_cannot_work_are_refused(section: str, key: str, value: object, sentence: str) -> None:
    (problem,) = problems(asset(**{section: {key: value}}))
    assert problem.startswith(f"assets.web-tls.{section}.{key}: {sentence}")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [("connections", -1, "must be 0 or more"), ("max_rate", 1000, "must be at least 64KiB")],
)
def test_transfers_have_room_to_move(key: str, value: object, sentence: str) -> None:
    (problem,) = problems(with_top(asset(), transfers={key: value}))
    assert problem.startswith(f"transfers.{key}: {sentence}")
    at_least = configured(with_top(asset(), transfers={"connections": 0, "max_rate": "64KiB"})).transfers
    assert (at_least.connections, at_least.max_rate) == (0, 65536)


def test_a_group_is_given_once() -> None:
    found = problems(asset(publish={"owner": "1:2", "group": "2"}))
    assert found == ["assets.web-tls.publish.group: is given twice, here and in owner, found '2'"]


def directories(**by_name: str) -> str:
    return yaml.safe_dump(
        {"assets": {name: {"source": {"plain": {}}, "publish": {"directory": path}} for name, path in by_name.items()}}
    )


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ("tls", "is the same directory as that of the asset 'a', /shared/tls"),
        ("/shared/./x/../tls", "is the same directory as that of the asset 'a', /shared/tls"),
        ("tls/inside", "/shared/tls/inside is inside the directory of the asset 'a', /shared/tls"),
        ("/shared/tls/deep/inside", "/shared/tls/deep/inside is inside the directory of the asset 'a', /shared/tls"),
        (".", "must be a directory below the volume /shared, not the volume itself, found '/shared'"),
        ("/", "must be a directory below the volume /shared, not the volume itself, found '/'"),
        ("../etc", "must not go up with '..', found '../etc'"),
        ("..refresher", "must not have a part that begins with '..', because those are refresher's own"),
        ("", "must not be empty"),
    ],
)
def test_an_assets_directory_is_its_own(second: str, sentence: str) -> None:
    found = problems(directories(a="tls", b=second))
    assert any(problem.startswith(f"assets.b.publish.directory: {sentence}") for problem in found)


def test_directories_beside_each_other_are_fine_however_alike_their_names() -> None:
    settings = configured(directories(a="tls", b="tls2", c="/elsewhere/tls"))
    assert settings.assets["c"].publish.directory == Path("/elsewhere/tls")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("web-tls/told.json", "/shared/web-tls/told.json must not be inside the directory of the asset 'web-tls'"),
        ("web-tls", "/shared/web-tls must not be inside the directory of the asset 'web-tls'"),
        ("../told.json", "must not go up with '..'"),
        ("..told.json", "must not have a part that begins with '..'"),
    ],
)
def test_a_marker_is_outside_of_what_is_published(path: str, sentence: str) -> None:
    (problem,) = problems(asset(notify=[{"acme": {"path": path}}]))
    assert problem.startswith(f"assets.web-tls.notify[0].acme.path: {sentence}")


def test_a_marker_has_one_writer() -> None:
    assert problems(asset(notify=[{"acme": {"path": "t"}}, {"acme": {"path": "/shared/t"}}])) == [
        "assets.web-tls.notify[1].acme.path: /shared/t is written by assets.web-tls.notify[0].acme.path too"
    ]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("web-tls/now", "/shared/web-tls/now must not be inside the directory of the asset 'web-tls', /shared/web-tls"),
        ("web-tls", "/shared/web-tls must not be inside the directory of the asset 'web-tls', /shared/web-tls"),
        ("told.json", "/shared/told.json is a marker, which is written and not read"),
        (".", "must be a file, found '/shared', which is a directory"),
        ("/", "must be a file, found '/', which is a directory"),
        ("../now", "must not go up with '..', found '../now'"),
        ("..now", "must not have a part that begins with '..', because those are refresher's own, found '..now'"),
    ],
)
def test_a_trigger_file_is_where_an_app_may_make_one(path: str, sentence: str) -> None:
    told = [{"acme": {"path": "told.json"}}]
    assert problems(asset(notify=told, refresh={"trigger": path})) == [f"assets.web-tls.refresh.trigger: {sentence}"]


def test_a_trigger_file_that_all_assets_share_is_named_once_and_each_may_have_its_own() -> None:
    settings = configured(
        """
        defaults: {refresh: {trigger: now}}
        assets:
          a: {source: {plain: {}}}
          b: {source: {plain: {}}, refresh: {trigger: /run/app/b}}
          c: {source: {plain: {}}, refresh: {trigger: null}}
        """
    )
    found = [settings.assets[name].refresh.trigger for name in "abc"]
    assert found == [Path("/shared/now"), Path("/run/app/b"), None]


def test_a_notifiers_own_key_is_read_before_the_plugin_sees_it() -> None:
    assert problems(asset(notify=[{"acme": {"initial": "perhaps"}}])) == [
        "assets.web-tls.notify[0].acme.initial: must be true or false"
    ]


def test_the_volume_is_absolute_once_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = configured(with_top(asset(), volume="./shared"))
    assert settings.assets["web-tls"].publish.directory == tmp_path / "shared" / "web-tls"
    assert problems(with_top(asset(), volume="")) == ["volume: must not be empty"]


def test_a_key_that_the_reader_itself_would_take_is_unknown_like_any_other(tmp_path: Path) -> None:
    (problem,) = problems(with_top(asset(), _env_file=str(tmp_path)))
    assert problem.startswith("_env_file: is not a known key")


def test_the_short_form_is_one_asset_named_after_its_directory() -> None:
    settings = short_form("acme://one", Path("/shared/My TLS"), ["http://127.0.0.1:8080/-/reload"])
    ((name, web),) = settings.assets.items()
    assert (name, settings.volume, web.publish.directory) == ("my-tls", Path("/shared"), Path("/shared/My TLS"))
    assert web.source.options.model_dump()["item"] == "one"
    assert [choice.name for choice in web.notify] == ["http"]


def test_the_short_form_has_a_name_even_for_a_directory_without_letters() -> None:
    assert list(short_form("acme://one", Path("/shared/___")).assets) == ["files"]


def test_the_short_form_can_be_overridden_by_the_environment() -> None:
    settings = short_form("acme://one", Path("/shared/tls"), [], {"REFRESHER_ASSETS__TLS__REFRESH__EVERY": "1h"})
    assert settings.assets["tls"].refresh.every == timedelta(hours=1)


def test_the_short_form_refuses_the_root() -> None:
    with pytest.raises(ConfigError, match="not the file system's root"):
        short_form("acme://one", Path("/"))


def test_nothing_but_a_file_and_the_given_environment_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLUME", "/elsewhere")
    monkeypatch.setenv("REFRESHER_VOLUME", "/elsewhere")
    file = tmp_path / "refresher.yaml"
    file.write_text(asset())
    assert load(file, {}).volume == Path("/shared")


def test_a_configuration_that_works_may_still_be_worth_a_warning() -> None:
    doubtful = asset(
        publish={"owner": "1000", "keep": 1, "nudge": True, "layout": "link"}, on_reject="rollback", max_stale="1m"
    )
    assert [warning.partition(": ")[0] for warning in warnings(configured(doubtful))] == [
        "assets.web-tls.publish.owner",
        "assets.web-tls.on_reject",
        "assets.web-tls.on_reject",
        "assets.web-tls.max_stale",
        "assets.web-tls.publish.nudge",
    ]
    never = asset(refresh={"every": 0}, max_stale="1m")
    assert [warning.partition(": ")[0] for warning in warnings(configured(never))] == ["assets.web-tls.max_stale"]
    assert warnings(configured(asset())) == []


@pytest.mark.parametrize(
    ("limits", "transfers", "keys"),
    [
        ({"max_rate": "2MiB"}, {"max_rate": "1MiB"}, ["limits.max_rate"]),
        ({"max_rate": "1MiB", "min_rate": "2MiB"}, {}, ["limits.min_rate"]),
        ({"min_rate": "2MiB"}, {"max_rate": "1MiB"}, ["limits.min_rate"]),
        ({"max_rate": "1MiB", "min_rate": "1MiB"}, {"max_rate": "1MiB"}, []),
        ({}, {"max_rate": "64KiB"}, []),
    ],
)
def test_rates_that_contradict_each_other_are_worth_a_warning(
    limits: dict[str, str], transfers: dict[str, str], keys: list[str]
) -> None:
    found = warnings(configured(with_top(asset(limits=limits), transfers=transfers)))
    assert [warning.partition(": ")[0] for warning in found] == [f"assets.web-tls.{key}" for key in keys]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"publish": {"directory": 5}}, "assets.web-tls.publish.directory: must be a path, found 5"),
        ({"publish": "tls"}, "assets.web-tls.publish: must be a mapping, found 'tls'"),
        ({"notify": [{"acme": 5}]}, "assets.web-tls.notify[0].acme: must be a mapping, found 5"),
        ({"source": {"acme": ["item"]}}, "assets.web-tls.source.acme: must be a mapping, found a list"),
        ({"verify": "acme"}, "assets.web-tls.verify: must be a list, found 'acme'"),
        ({"required": "perhaps"}, "assets.web-tls.required: must be true or false, found 'perhaps'"),
        ({"required": []}, "assets.web-tls.required: must be true or false, found a list"),
    ],
)
def test_a_value_of_the_wrong_shape_is_told_with_the_right_one(keys: dict[str, Any], problem: str) -> None:
    assert problems(asset(**keys)) == [problem]


words = st.sampled_from(
    [
        *(
            "assets",
            "a",
            "web-tls",
            "source",
            "acme",
            "plain",
            "item",
            "verify",
            "notify",
            "publish",
            "directory",
            "initial",
        ),
        *("refresh", "every", "limits", "defaults", "providers", "control", "listen", "token", "file", "env", "volume"),
        *("sources", "probes", "owner", "tls", "..", "", "acme://x", "off", "5m", "hunter2\x1b"),
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words
contents = st.recursive(
    scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=4), max_leaves=20
)


@hypothesis.settings(
    max_examples=100, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(
    top=st.dictionaries(words, contents, max_size=4),
    one=st.dictionaries(words, contents, max_size=5),
    source=contents,
)
def test_whatever_a_file_says_the_answer_is_settings_or_problems_of_one_line(
    top: dict[str, Any], one: dict[str, Any], source: object
) -> None:
    told: tuple[str, ...] = ()
    try:
        read({**top, "assets": {"a": {"source": source, **one}}}, {})
    except ConfigError as error:
        told = error.problems
    assert all(problem.isprintable() for problem in told)
