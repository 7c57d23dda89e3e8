from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from refresher.errors import ConfigError
from refresher.model import Asset
from refresher.settings import SharedParts, assets, load
from refresher.settings.read import read
from refresher.settings.schema import schema

EXAMPLE = """
volume: /shared
control: {listen: 127.0.0.1:8470, hosts: [], token: {file: /run/refresher/token}}
probes: {listen: 0.0.0.0:8471}
providers:
  vault: {address: https://vault:8200, auth: {kubernetes: {role: web}}}
defaults:
  refresh: {every: 5m}
assets:
  web-tls:
    source:
      vault:
        path: pki/issue/web
        data: {common_name: web.example.com, ttl: 24h}
    verify:
      - certificate: {names: [web.example.com], trust: {file: /etc/refresher/roots.pem}, min_remaining: 1h}
    publish: {directory: tls}
    notify:
      - http: {url: "http://127.0.0.1:8080/-/reload", confirm: {tls: "127.0.0.1:8443", name: web.example.com}}
      - marker: {path: tls.json}
  model:
    source: {s3: {bucket: models, prefix: fraud/current/}}
    verify:
      - checksums: {file: SHA256SUMS}
      - signature: {file: SHA256SUMS, signature: SHA256SUMS.sig, public_key: {file: /etc/refresher/model.pub}}
    publish: {directory: model, keep: 1}
    refresh: {every: 10m}
    required: false
"""


def built(text: str) -> list[Asset]:
    shared = SharedParts()
    try:
        return assets(read(yaml.safe_load(text), {}), shared)
    finally:
        shared.close()


def test_the_built_in_plugins_read_their_options(tmp_path: Path) -> None:
    file = tmp_path / "refresher.yaml"
    file.write_text(EXAMPLE)
    settings = load(file, {"REFRESHER_ASSETS__WEB_TLS__SOURCE__VAULT__DATA__TTL": "48h"})
    web = settings.assets["web-tls"]
    options = web.source.options.model_dump(mode="json")
    assert (options["address"], options["path"]) == ("https://vault:8200", "pki/issue/web")
    assert options["data"] == {"common_name": "web.example.com", "ttl": "48h"}
    assert web.notify[1].options.model_dump()["path"] == Path("/shared/tls.json")


def test_the_example_fits_the_schema_with_the_built_in_plugins() -> None:
    assert not list(Draft202012Validator(schema()).iter_errors(yaml.safe_load(EXAMPLE)))


def test_the_example_becomes_assets_without_contacting_anyone() -> None:
    web, model = built(EXAMPLE)
    assert (web.name, web.directory, [check.name for check in web.verifiers]) == (
        "web-tls",
        Path("/shared/tls"),
        ["certificate"],
    )
    assert [notifier.name for notifier in web.notifiers] == ["http", "marker"]
    assert (model.required, model.publish.keep) == (False, 1)


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("vault://pki/issue/web?common_name=web.example.com", "vault"),
        ("s3://bucket/prefix/", "s3"),
        ("https://example.com/file.txt", "http"),
        ("http://example.com/file.txt", "http"),
        ("file:///etc/hosts", "file"),
    ],
)
def test_every_built_in_provider_has_a_url_form(url: str, provider: str) -> None:
    providers = "providers: {vault: {address: https://vault:8200, auth: {token: {env: VAULT_TOKEN}}}}\n"
    settings = read(yaml.safe_load(f"{providers}assets: {{a: {{source: '{url}'}}}}"), {})
    assert settings.assets["a"].source.name == provider


def test_new_roots_at_the_same_path_are_a_new_check(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    text = f"assets: {{a: {{source: 'file:///etc/hosts', verify: [{{certificate: {{trust: {{file: {roots}}}}}}}]}}}}"
    roots.write_text("one")
    (before,) = built(text)
    roots.write_text("two")
    (after,) = built(text)
    assert before.checks != after.checks
    assert before.source == after.source


def test_a_login_that_stands_in_the_file_is_never_shown() -> None:
    text = """
    assets:
      a: {source: {vault: {path: secret/app, auth: {userpass: {username: me, password: hunter2}}}}}
      b: {source: {vault: {path: secret/app, auth: {token: hunter2, kubernetes: {role: [hunter2]}}}}}
      c: {source: {http: {url: "https://me:hunter2@host/file"}}}
      d: {source: "https://me:hunter2@host/file"}
      e: {source: {http: {url: "https://host/file", basic: {username: me, password: hunter2}, headers: [hunter2]}}}
    """
    with pytest.raises(ConfigError) as raised:
        built(text)
    assert len({problem.split(".")[1] for problem in raised.value.problems}) == 5
    assert "hunter2" not in str(raised.value)
