"""The signing request (PKCS#10): whom the certificate is to be for, and a proof that the key is here."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from providers.vault.pki.keys import PrivateKey, signing_hash
from refresher.errors import ConfigError

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(\*\.|[A-Za-z0-9-]*\*[A-Za-z0-9-]*\.)?({_LABEL}\.)*{_LABEL}\.?")
_MAIL = re.compile(rf"[!-?A-~]+@({_LABEL}\.)*{_LABEL}")


@dataclass(frozen=True, slots=True)
class Names:
    """Whom a certificate is for: `common_name` may be empty; `parameters` are the names as Vault takes them."""

    common_name: str
    alternatives: tuple[x509.GeneralName, ...]
    parameters: Mapping[str, str]


def names_of(data: Mapping[str, Any]) -> Names:
    """The names in a source's `data`: text with commas, or lists. Raises ConfigError, with the key and the name."""
    if "other_sans" in data:
        raise ConfigError("data.other_sans can't be asked for with key: local; the request would not hold them")
    common_name = _common_name(data)
    alternatives = [] if _is_true(data.get("exclude_cn_from_sans")) else list(_as_alternative(common_name))
    parameters: dict[str, str] = {}
    for key, read in _READERS.items():
        given = _listed(data, key)
        alternatives += [_read(key, name, read) for name in given]
        parameters |= {key: ",".join(given)} if given else {}
    if not common_name and not alternatives:
        raise ConfigError("data names nobody: give common_name, alt_names, ip_sans or uri_sans")
    return Names(common_name, tuple(dict.fromkeys(alternatives)), parameters)


def signing_request(names: Names, key: PrivateKey) -> str:
    """The request in PEM form, signed with the key."""
    subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, names.common_name)] if names.common_name else []
    builder = x509.CertificateSigningRequestBuilder(x509.Name(subject))
    if names.alternatives:
        # Without a subject the names are all there is, and have to be understood (RFC 5280, 4.1.2.6).
        extension = x509.SubjectAlternativeName(names.alternatives)
        builder = builder.add_extension(extension, critical=not names.common_name)
    return builder.sign(key, signing_hash(key)).public_bytes(Encoding.PEM).decode()


def _common_name(data: Mapping[str, Any]) -> str:
    name = data.get("common_name", "")
    # Longer ones are refused by every library (RFC 5280, ub-common-name).
    if not isinstance(name, str) or len(name) > 64 or not (name.isprintable() or name == ""):
        raise ConfigError("data.common_name must be text of at most 64 characters")
    return name


def _as_alternative(common_name: str) -> Iterator[x509.GeneralName]:
    """The common name as clients read it, the way that Vault adds it; one that is neither host nor mail stays alone."""
    if _MAIL.fullmatch(common_name):
        yield x509.RFC822Name(common_name)
    elif _HOST.fullmatch(common_name) and not _is_address(common_name):
        yield x509.DNSName(common_name)


def _listed(data: Mapping[str, Any], key: str) -> list[str]:
    given = data.get(key) or []
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and "," not in name for name in names):
        raise ConfigError(f"data.{key} must be a list of names, or text with commas between them")
    return [name.strip() for name in names if name.strip()]


def _read(key: str, name: str, read: Callable[[str], x509.GeneralName]) -> x509.GeneralName:
    try:
        return read(name)
    except ValueError as error:
        raise ConfigError(f"data.{key}: {name!a} {error}") from None


def _host_or_mail(name: str) -> x509.GeneralName:
    if _MAIL.fullmatch(name):
        return x509.RFC822Name(name)
    if len(name) > 253 or not _HOST.fullmatch(name) or _is_address(name):
        raise ValueError("must be a host name or a mail address, in ASCII (xn--… for others); addresses are ip_sans")
    return x509.DNSName(name)


def _address(name: str) -> x509.GeneralName:
    if not _is_address(name):
        raise ValueError("must be an IP address")
    return x509.IPAddress(ipaddress.ip_address(name))


def _uri(name: str) -> x509.GeneralName:
    parts = urlsplit(name)
    if not parts.scheme or not (parts.netloc or parts.path) or not name.isascii() or not name.isprintable():
        raise ValueError("must be a URI such as spiffe://example.com/web")
    return x509.UniformResourceIdentifier(name)


_READERS: Mapping[str, Callable[[str], x509.GeneralName]] = {
    "alt_names": _host_or_mail,
    "ip_sans": _address,
    "uri_sans": _uri,
}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_true(value: object) -> bool:
    """As Vault reads it, which takes text, too: parameters of a URL are nothing else."""
    return value is True or (isinstance(value, str) and value.lower() in ("1", "t", "true"))
