"""Which server is spoken to and as whom; the one place that reads the `VAULT_…` and `BAO_…` environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from providers.vault.options import Auth, Credential, VaultOptions, valid_address
from refresher.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Which server is spoken to and as whom: sources for which this is equal share connections and logins."""

    address: str
    namespace: str | None
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    tls_server_name: str | None
    auth: Auth
    timeout: float
    revoke_on_exit: bool


def reach(options: VaultOptions, environment: Mapping[str, str] = os.environ) -> Reach:
    """The options completed from the environment. Raises ConfigError if no address is known.

    `VAULT_ADDR`, `VAULT_NAMESPACE`, `VAULT_CACERT`, `VAULT_CLIENT_CERT`, `VAULT_CLIENT_KEY`, `VAULT_TLS_SERVER_NAME`,
    `VAULT_TOKEN`, each of which `BAO_…` overrules.
    """

    def file(name: str) -> Path | None:
        value = environment.get(_variable(environment, name))
        return Path(value) if value else None

    return Reach(
        address=_address(options, environment),
        namespace=_text(options.namespace, environment, "NAMESPACE").strip("/") or None,
        ca_file=options.ca_file or file("CACERT"),
        cert_file=options.cert_file or file("CLIENT_CERT"),
        key_file=options.key_file or (None if options.cert_file else file("CLIENT_KEY")),
        tls_server_name=_text(options.tls_server_name, environment, "TLS_SERVER_NAME") or None,
        auth=options.auth or Auth(token=Credential(env=_variable(environment, "TOKEN"))),
        timeout=options.timeout.total_seconds(),
        revoke_on_exit=options.revoke_on_exit,
    )


def _address(options: VaultOptions, environment: Mapping[str, str]) -> str:
    if options.address:
        return options.address
    variable = _variable(environment, "ADDR")
    value = environment.get(variable)
    if not value:
        raise ConfigError(f"address is missing, and so is {variable}: it must be an address such as https://vault:8200")
    try:
        return valid_address(value)
    except ValueError as error:
        raise ConfigError(f"{variable} {error}") from error


def _text(option: str | None, environment: Mapping[str, str], name: str) -> str:
    return option or environment.get(_variable(environment, name)) or ""


def _variable(environment: Mapping[str, str], name: str) -> str:
    """OpenBao's variable if it is there, even an empty one, else Vault's (OpenBao, `api.ReadBaoVariable`)."""
    return f"BAO_{name}" if f"BAO_{name}" in environment else f"VAULT_{name}"
