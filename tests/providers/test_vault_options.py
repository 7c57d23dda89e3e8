from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from providers.vault import VaultProvider
from providers.vault.options import Auth, Credential, VaultOptions
from providers.vault.reach import reach
from refresher.errors import ConfigError


def parsed(**options: Any) -> VaultOptions:
    return VaultProvider.Options.model_validate({"path": "secret/app"} | options)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("vault://secret/app", {"path": "secret/app"}),
        ("vault://Secret/a%20b/c", {"path": "Secret/a b/c"}),
        ("vault://secret/app#password", {"path": "secret/app", "fields": ["password"]}),
        (
            "vault://pki/issue/web?common_name=web.example.com&ttl=24h",
            {"path": "pki/issue/web", "data": {"common_name": "web.example.com", "ttl": "24h"}},
        ),
        ("vault://pki/issue/web?n=a&n=b&e=", {"path": "pki/issue/web", "data": {"n": ["a", "b"], "e": ""}}),
    ],
)
def test_a_url_stands_for_options(url: str, options: dict[str, object]) -> None:
    assert VaultProvider.from_url(url) == options
    VaultProvider.Options.model_validate(options)


@pytest.mark.parametrize("option", ["version=1", "key=local", "common_name=a&reuse_key=true"])
def test_an_option_in_a_url_is_refused_before_it_overwrites_what_is_there(option: str) -> None:
    with pytest.raises(ValueError, match="what follows the \\? is written to the path"):
        VaultProvider.from_url(f"vault://secret/app?{option}")


@pytest.mark.parametrize("url", ["vault://", "vault://secret", "vault:///app", "vault://secret/app?broken"])
def test_a_url_without_a_path_or_with_a_broken_parameter_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        VaultProvider.from_url(url)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "secret/../sys/raw"}, "full API path"),
        ({"path": "secret//app"}, "full API path"),
        ({"path": ""}, "full API path"),
        ({"path": "secret/app\r\nX: y"}, "full API path"),
        ({"address": "vault:8200"}, "must be an address"),
        ({"address": "https://user:pw@vault"}, "must be an address"),
        ({"address": "ftp://vault"}, "must be an address"),
        ({"address": "https://vault?x"}, "must be an address"),
        ({"address": "https://[vault"}, "must be an address"),
        ({"address": "https://vault:99999"}, "must be an address"),
        ({"fields": []}, "at least one field"),
        ({"format": "json"}, "format needs file"),
        ({"file": "config"}, "json, yaml, env or raw"),
        ({"key_file": "/k"}, "needs cert_file"),
        ({"timeout": 0}, "longer than 0"),
        ({"timeout": "soon"}, "duration"),
        ({"auth": {}}, "exactly one of"),
        ({"auth": {"token": {"env": "A"}, "jwt": {"role": "r", "token_file": "/t"}}}, "exactly one of"),
        ({"auth": {"kubernetes": {"role": "r", "mount": "a b"}}}, "login method"),
        ({"auth": {"userpass": {"username": "a/b", "password": {"env": "P"}}}}, "pattern"),
        ({"unknown": 1}, "not permitted"),
    ],
)
def test_options_that_can_not_work_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        parsed(**options)


def test_a_secret_written_where_a_reference_belongs_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        parsed(auth={"token": "hvs.very-secret", "approle": {"role_id": "hvs.very-secret"}})
    assert "very-secret" not in str(caught.value)


def test_the_environment_completes_what_the_options_leave_out() -> None:
    environment = {
        "VAULT_ADDR": "https://vault:8200/",
        "VAULT_NAMESPACE": "team/a/",
        "VAULT_CACERT": "/ca",
        "VAULT_CLIENT_CERT": "/crt",
        "VAULT_CLIENT_KEY": "/key",
        "VAULT_TLS_SERVER_NAME": "vault.test",
    }
    found = reach(parsed(), environment)
    assert (found.address, found.namespace, found.ca_file) == ("https://vault:8200", "team/a", Path("/ca"))
    assert (found.cert_file, found.key_file) == (Path("/crt"), Path("/key"))
    assert found.tls_server_name == "vault.test"
    assert found.auth == Auth(token=Credential(env="VAULT_TOKEN"))
    assert found.timeout == 30


def test_openbao_s_variables_win_over_vault_s_one_by_one_even_if_empty() -> None:
    environment = {
        "VAULT_ADDR": "https://vault",
        "BAO_ADDR": "https://bao",
        "VAULT_NAMESPACE": "team",
        "BAO_NAMESPACE": "",
        "VAULT_CACERT": "/ca",
        "BAO_CLIENT_CERT": "/crt",
        "BAO_TLS_SERVER_NAME": "bao.test",
        "BAO_TOKEN": "geheim",
    }
    found = reach(parsed(), environment)
    assert (found.address, found.namespace, found.ca_file) == ("https://bao", None, Path("/ca"))
    assert (found.cert_file, found.tls_server_name) == (Path("/crt"), "bao.test")
    assert found.auth == Auth(token=Credential(env="BAO_TOKEN"))


def test_options_win_over_the_environment() -> None:
    environment = {"VAULT_ADDR": "https://other", "VAULT_CLIENT_CERT": "/crt", "VAULT_CLIENT_KEY": "/key"}
    found = reach(parsed(address="https://vault", cert_file="/mine"), environment)
    assert (found.address, found.cert_file, found.key_file) == ("https://vault", Path("/mine"), None)


@pytest.mark.parametrize("environment", [{}, {"VAULT_ADDR": "vault"}])
def test_no_usable_address_is_a_configuration_error(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"VAULT_ADDR.*must be an address"):
        reach(parsed(), environment)


def test_sources_that_reach_a_server_in_the_same_way_share_a_session() -> None:
    shared = VaultProvider.Shared()
    address = {"address": "http://127.0.0.1:1"}
    one, two = (shared.of(reach(parsed(path=path, **address), {})) for path in ("a/b", "c/d"))
    other = shared.of(reach(parsed(timeout="5s", **address), {}))
    assert one is two
    assert one is not other
    shared.close()


def test_the_schema_describes_every_option() -> None:
    schema = VaultProvider.Options.model_json_schema()
    assert {"address", "auth", "path", "data", "fields", "file", "format", "timeout"} <= schema["properties"].keys()


def test_a_version_is_of_what_is_read() -> None:
    with pytest.raises(ValueError, match="version chooses what is read"):
        VaultOptions(path="secret/app", version=1, data={"a": 1})
