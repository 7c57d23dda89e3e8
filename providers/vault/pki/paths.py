"""Which paths of the API give certificates, and what else there is at the same engine."""

import re
from dataclasses import dataclass

from providers.vault.options import VaultOptions
from refresher.errors import ConfigError

_PATH = re.compile(
    r"(?P<mount>.+?)(?P<issuer>/issuer/[^/]+)?/(?:(?P<verb>issue|sign|sign-verbatim)/(?P<role>[^/]+)|sign-verbatim)"
)
_SSH_ONLY = frozenset({"valid_principals", "cert_type", "key_id", "critical_options", "extensions"})


@dataclass(frozen=True, slots=True)
class Engine:
    """A PKI engine, as the path of a source names it; `issuer` is empty, or `/issuer/REFERENCE`."""

    mount: str
    issuer: str
    signing: str
    """The path that signs a request for the same role as the source's."""

    @classmethod
    def of(cls, path: str) -> "Engine":
        """Raises ValueError for a path that gives no certificates."""
        match = _PATH.fullmatch(path)
        if match is None:
            raise ValueError(f"{path} gives no certificates")
        mount, issuer = match["mount"], match["issuer"] or ""
        signing = f"{mount}{issuer}/sign/{match['role']}" if match["verb"] == "issue" else path
        return cls(mount, issuer, signing)


def asks_for_certificate(options: VaultOptions) -> bool:
    """Whether the source is a certificate to issue or sign, to be written as `tls.crt`, `tls.key`, `ca.crt`.

    The SSH engine has paths of the same form; what is sent tells them apart.
    """
    if options.data is None or options.fields is not None or options.file is not None:
        return False
    match = _PATH.fullmatch(options.path)
    if match is None or _SSH_ONLY & options.data.keys():
        return False
    return match["verb"] == "issue" or options.key == "local" or "csr" in options.data


def refuse_unfit(options: VaultOptions) -> None:
    """Raises ConfigError for options about certificates that would do nothing, or can't work together."""
    if options.chosen and not asks_for_certificate(options):
        raise ConfigError(
            f"{', '.join(options.chosen)}: only for certificates, so path must be MOUNT/issue/ROLE or MOUNT/sign/ROLE,"
            " with data, and without fields and file"
        )
    if options.data is not None and "csr" in options.data:
        if options.key == "local":
            raise ConfigError("data.csr: with key: local the request is made here; take one of the two out")
        if options.files.bundle or options.files.pkcs12:
            raise ConfigError("files: bundle and pkcs12 hold the private key, and whoever made data.csr kept it")
