from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from refresher.settings.read import read
from refresher.settings.schema import schema
from tests.fakes import acme

EXAMPLE = """
volume: /shared
control: {listen: "unix:/run/refresher/control.sock", hosts: [], token: {file: /run/refresher/token}}
probes: {listen: off}
transfers: {connections: 0, max_rate: 10MB}
providers: {acme: {address: "https://acme", auth: {user: me}}}
defaults: {refresh: {every: 5m}, limits: {files: 5}, max_stale: null}
assets:
  web-tls:
    source: {acme: {item: one, token: {file: /run/token}}}
    verify: [acme, {acme: {level: 2, patience: 5s}}]
    publish: {directory: tls, mode: "0640", owner: 1000, keep: 1}
    notify: [{acme: {path: told.json, initial: false}}]
    refresh: {every: 0, jitter: 10%, renew_at: 67%, timeout: 1h30m}
    limits: {file: 4GiB, total: 1000, max_rate: 2MiB, connections: 8}
  model: {source: "acme://two"}
  several:
    sources: {db: "acme://db", flags: {plain: {}}}
    verify: [{acme: {source: db, level: 2}}]
"""


@pytest.fixture(autouse=True)
def _acme_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    acme.install(monkeypatch, tmp_path)


def errors(text: str) -> list[str]:
    return [error.message for error in Draft202012Validator(schema()).iter_errors(yaml.safe_load(text))]


def test_the_schema_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_configuration_that_works_fits_the_schema() -> None:
    read(yaml.safe_load(EXAMPLE), {})
    assert errors(EXAMPLE) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("item: one", "itm: one"),
        ("every: 5m", "every: soon"),
        ("every: 5m", "every: 5"),
        ("level: 2", "level: high"),
        ("initial: false", "initial: perhaps"),
        ("verify: [acme,", "verify: [acne,"),
        ('"0640"', "640"),
        ("4GiB", "4XB"),
        ("jitter: 10%", "jitter: 10"),
        ("listen: off", "listen: on"),
        ("  model:", "  Model_:"),
        ('"acme://two"', "no-url"),
        ("volume:", "volum:"),
        ("keep: 1", "kep: 1"),
        ("connections: 0", "connections: many"),
        ("max_rate: 10MB", "max_rate: 10MBit"),
        ('source: "acme://two"', "required: true"),
        ("sources: {db:", "sources: {DB:"),
        ("sources: {db:", 'source: "acme://two"\n    sources: {db:'),
        ("source: db", "source: 5"),
        ("flags: {plain: {}}", "flags: {plain: {}, acme: {item: x}}"),
        ('sources: {db: "acme://db", flags: {plain: {}}}', "sources: {}"),
    ],
)
def test_a_configuration_that_is_refused_does_not_fit_the_schema(before: str, after: str) -> None:
    assert before in EXAMPLE
    assert errors(EXAMPLE.replace(before, after, 1))


def test_defaults_are_shown_as_people_write_them() -> None:
    whole = schema()
    definitions = whole["$defs"]
    refresh, limits = definitions["Refresh"]["properties"], definitions["Limits"]["properties"]
    shown = {key: refresh[key]["default"] for key in ("every", "jitter", "renew_at", "timeout")}
    assert shown == {"every": "5m", "jitter": "10%", "renew_at": "67%", "timeout": "60s"}
    assert (limits["total"]["default"], limits["min_rate"]["default"]) == ("64GiB", "64KiB")
    assert definitions["Publish"]["properties"]["key_mode"]["default"] == "0640"
    assert definitions["Control"]["properties"]["listen"]["default"] == "127.0.0.1:8470"
    assert definitions["AssetSettings"]["properties"]["settle"]["default"] == "1s"


def test_every_installed_plugin_is_in_the_schema() -> None:
    definitions = schema()["$defs"]
    providers = definitions["Source"]["anyOf"][0]["properties"]
    assert {"acme", "plain", "vault", "s3", "http", "file"} <= set(providers)
    assert "acme" in definitions["Verifier"]["anyOf"][0]["properties"]
    assert "acme" in definitions["Notifier"]["anyOf"][0]["properties"]


def test_a_plugin_that_cannot_be_imported_does_not_cost_the_schema(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "more").mkdir()
    acme.install(
        monkeypatch,
        tmp_path / "more",
        {kind: {"broken": "no_such_module_of_acme:X"} for kind in ("providers", "notifiers")},
    )
    definitions = schema()["$defs"]
    assert definitions["Source"]["anyOf"][0]["properties"]["broken"] == {"type": "object"}
    assert definitions["Notifier"]["anyOf"][0]["properties"]["broken"] == {"type": "object"}
