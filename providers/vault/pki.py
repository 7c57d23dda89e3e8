"""Certificates from a PKI engine: what is asked for, and the files of an answer."""

import re
from collections.abc import Mapping
from typing import Any

from providers.vault.options import VaultOptions
from refresher.contract import InlineFile
from refresher.errors import PermanentError

_ISSUE = re.compile(r".+/issue/[^/]+")
_SIGN = re.compile(r".+/(sign(-verbatim)?/[^/]+|sign-verbatim)")
_SSH_ONLY = frozenset({"valid_principals", "cert_type", "key_id", "critical_options", "extensions"})


def asks_for_certificate(options: VaultOptions) -> bool:
    """Whether the source is a certificate to issue or sign, to be written as `tls.crt`, `tls.key`, `ca.crt`.

    The SSH engine has paths of the same form; what is sent tells them apart.
    """
    if options.data is None or options.fields is not None or options.file is not None:
        return False
    signs = _SIGN.fullmatch(options.path) and "csr" in options.data
    issues = _ISSUE.fullmatch(options.path) and not _SSH_ONLY & options.data.keys()
    return bool(signs or issues)


def files_of(data: Mapping[str, Any], path: str) -> list[InlineFile]:
    """`tls.crt` (leaf, then intermediates), `tls.key` (unless who asked kept it), `ca.crt` (the top of the chain).

    Raises PermanentError if the answer is not a PEM certificate with its issuer.
    """
    leaf, key = _pem(data.get("certificate"), path), data.get("private_key")
    intermediates, top = _chain(data, path)
    files = [
        InlineFile("ca.crt", top.encode(), sensitive=False),
        InlineFile("tls.crt", "".join((leaf, *intermediates)).encode(), sensitive=False),
    ]
    if isinstance(key, str) and key:
        files.append(InlineFile("tls.key", (key.strip() + "\n").encode()))
    return files


def _chain(data: Mapping[str, Any], path: str) -> tuple[list[str], str]:
    """The intermediates to serve, and the top, which clients may trust: a root never belongs into what is served."""
    given = data.get("ca_chain") or [data.get("issuing_ca")]
    chain = [_pem(each, path) for each in (given if isinstance(given, list) else [given])]
    intermediates = [each for each in chain if not _is_self_signed(each, path)]
    roots = [each for each in chain if each not in intermediates]
    return intermediates, (roots or chain)[-1]


def _pem(value: object, path: str) -> str:
    """One certificate and nothing else: what goes into `tls.crt` is readable for all."""
    text = value.strip() + "\n" if isinstance(value, str) else ""
    if not text.startswith("-----BEGIN CERTIFICATE-----") or text.count("-----BEGIN ") != 1:
        raise PermanentError(f"{path} answered no PEM certificate with its issuer (data.format has to be pem)")
    return text


def _is_self_signed(pem: str, path: str) -> bool:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise PermanentError(f"{path} answered an issuer that is no X.509 certificate") from None
    return certificate.subject == certificate.issuer
