"""Which names a certificate is for (RFC 9525, and RFC 6125 for those without a subject alternative name)."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509
from cryptography.x509.oid import NameOID

NO_NAMES = x509.SubjectAlternativeName([])


def missing(certificate: x509.Certificate, wanted: tuple[str, ...]) -> list[str]:
    """Those of the wanted names, addresses and URIs that the certificate is not for."""
    return [name for name in wanted if not _covers(certificate, name)]


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Every name, address and URI that the certificate is for."""
    names = _alternative_names(certificate)
    if names is None:
        return tuple(_common_names(certificate))
    addresses = (str(address) for address in names.get_values_for_type(x509.IPAddress))
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return (*names.get_values_for_type(x509.DNSName), *addresses, *uris)


def _covers(certificate: x509.Certificate, name: str) -> bool:
    names = _alternative_names(certificate) or NO_NAMES
    address = _address(name)
    if address is not None:
        return address in names.get_values_for_type(x509.IPAddress)
    if ":" in name:
        return name in names.get_values_for_type(x509.UniformResourceIdentifier)
    return any(_matches(pattern, name) for pattern in _dns_names(certificate))


def _dns_names(certificate: x509.Certificate) -> list[str]:
    names = _alternative_names(certificate)
    # The common name counts only where there are no alternative names: those who read the others ignore it.
    return list(_common_names(certificate)) if names is None else names.get_values_for_type(x509.DNSName)


def _matches(pattern: str, name: str) -> bool:
    """A wildcard stands for exactly one whole label, the first; a wanted wildcard is only the same wildcard."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if pattern == name:
        return True
    label, _, parent = name.partition(".")
    return label != "" and pattern == f"*.{parent}"


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _common_names(certificate: x509.Certificate) -> Iterator[str]:
    for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        yield attribute.value if isinstance(attribute.value, str) else attribute.value.decode(errors="replace")


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
