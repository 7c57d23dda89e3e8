from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from refresher.errors import ConfigError
from refresher.settings import Settings
from refresher.settings.read import read
from tests.fakes import acme

FILE = """
assets:
  web-tls: {source: {acme: {item: one, token: {env: REFRESHER_ACME_TOKEN}}}, publish: {directory: tls}}
  other: {source: "acme://two"}
"""


@pytest.fixture(autouse=True)
def _acme_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    acme.install(monkeypatch, tmp_path)


def configured(text: str = FILE, /, **environment: str) -> Settings:
    return read(yaml.safe_load(text), environment)


def problems(**environment: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        configured(**environment)
    return list(raised.value.problems)


def test_single_values_are_overridden() -> None:
    settings = configured(
        REFRESHER_VOLUME="/data",
        REFRESHER_CONTROL__LISTEN="off",
        REFRESHER_ASSETS__WEB_TLS__REFRESH__EVERY="1h",
        REFRESHER_ASSETS__WEB_TLS__SOURCE__ACME__ITEM="three",
        REFRESHER_ASSETS__WEB_TLS__PUBLISH__MODE="0640",
        REFRESHER_ASSETS__WEB_TLS__REQUIRED="false",
        REFRESHER_DEFAULTS__LIMITS__FILES="7",
        REFRESHER_TRANSFERS__MAX_RATE="100MB",
        REFRESHER_TRANSFERS__CONNECTIONS="4",
        REFRESHER_PROVIDERS__ACME__ADDRESS="https://acme",
    )
    web = settings.assets["web-tls"]
    assert (settings.volume, settings.control.listen) == (Path("/data"), None)
    assert (web.refresh.every, web.publish.mode, web.required) == (timedelta(hours=1), 0o640, False)
    assert web.publish.directory == Path("/data/tls")
    assert web.source.options.model_dump()["item"] == "three"
    assert settings.assets["other"].limits.files == 7
    assert settings.assets["other"].source.options.model_dump()["address"] == "https://acme"
    assert (settings.transfers.max_rate, settings.transfers.connections) == (100_000_000, 4)


@pytest.mark.parametrize(
    ("value", "names"),
    [('["a", "b"]', ["a", "b"]), ("[a, b]", ["a", "b"]), ("plain: text", "plain: text"), ("5", "5"), ('"[x]"', "[x]")],
)
def test_lists_are_written_as_json_and_plain_text_stays_text(value: str, names: Any) -> None:
    settings = configured(REFRESHER_ASSETS__WEB_TLS__SOURCE__ACME__NAMES=value)
    assert settings.assets["web-tls"].source.options.model_dump()["names"] == names


def test_a_rendered_file_is_found_by_its_name_though_no_variable_can_hold_a_dot() -> None:
    text = "assets: {web: {source: 'acme://one', render: {app.env: {form: env}}}}"
    settings = configured(text, REFRESHER_ASSETS__WEB__RENDER__APP_ENV__FORM="docker-env")
    assert {name: entry.form for name, entry in settings.assets["web"].render.items()} == {"app.env": "docker-env"}


def test_null_takes_a_value_away() -> None:
    text = "defaults: {max_stale: 1h}\n" + FILE
    settings = configured(text, REFRESHER_DEFAULTS__MAX_STALE="null")
    assert settings.assets["web-tls"].max_stale is None


def test_a_whole_section_may_be_given_as_json() -> None:
    settings = configured(REFRESHER_ASSETS__OTHER__SOURCE='{"plain": {"place": "there"}}')
    assert settings.assets["other"].source.name == "plain"


def test_the_environment_cannot_make_an_asset() -> None:
    assert problems(REFRESHER_ASSETS__NEW__SOURCE="acme://three") == [
        "REFRESHER_ASSETS__NEW__SOURCE: there is no asset 'new' in the file, and the environment can't make one"
    ]
    (problem,) = problems(REFRESHER_ASSETS='{"new": {"source": "acme://three"}}')
    assert problem.startswith("REFRESHER_ASSETS: sets single values of an asset that the file has")


def test_a_wrong_value_names_its_variable() -> None:
    assert problems(REFRESHER_ASSETS__WEB_TLS__REFRESH__EVERY="soon") == [
        "assets.web-tls.refresh.every: must be a duration such as 30s, 5m, 12h or 7d, found 'soon'"
        " (set by REFRESHER_ASSETS__WEB_TLS__REFRESH__EVERY)"
    ]


def test_a_secret_in_a_variable_is_never_shown() -> None:
    (problem,) = problems(REFRESHER_ASSETS__WEB_TLS__SOURCE__ACME__TOKEN="hunter2")
    assert "must be a reference" in problem
    assert "hunter2" not in problem


def test_a_variable_that_sets_nothing_is_a_problem() -> None:
    (problem,) = problems(REFRESHER_VOLUM="/data")
    assert problem.startswith("REFRESHER_VOLUM: sets no known key; known are assets, control, ")


def test_a_variable_cannot_reach_below_what_is_no_mapping() -> None:
    assert problems(REFRESHER_ASSETS__OTHER__SOURCE__ACME__ITEM="x") == [
        "REFRESHER_ASSETS__OTHER__SOURCE__ACME__ITEM: assets.other.source is not a mapping; "
        "set it as a whole, written as JSON"
    ]


def test_a_value_that_is_no_yaml_is_a_problem_without_its_text() -> None:
    (problem,) = problems(REFRESHER_CONTROL__HOSTS="[hunter2")
    assert problem.startswith("REFRESHER_CONTROL__HOSTS: is not valid YAML: ")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    "variable",
    [
        "REFRESHER_CONFIG",
        "REFRESHER_PORT",
        "REFRESHER_PORT_8470_TCP_ADDR",
        "REFRESHER_SERVICE_HOST",
        "REFRESHER_SERVICE_PORT_HTTP",
        "REFRESHER_PROBES_SERVICE_HOST",
        "REFRESHER_PROBES_SERVICE_PORT",
        "REFRESHER_PROBES_PORT",
        "REFRESHER_PROBES_PORT_8471_TCP_PROTO",
        "REFRESHER_ACME_TOKEN",
        "refresher_volume",
        "OTHER_VOLUME",
    ],
)
def test_what_kubernetes_injects_and_what_the_file_names_as_a_secret_are_no_settings(variable: str) -> None:
    assert configured(**{variable: "tcp://10.0.0.1:8470"}) == configured()


def test_the_callers_content_is_left_as_it_was() -> None:
    content = yaml.safe_load(FILE)
    read(content, {"REFRESHER_ASSETS__WEB_TLS__PUBLISH__DIRECTORY": "elsewhere"})
    assert content == yaml.safe_load(FILE)
