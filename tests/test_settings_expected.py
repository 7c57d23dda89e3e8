"""Files that are looked for and will never be there are told by check, before anything is asked for."""

from typing import Any

import pytest

from refresher.errors import ConfigError
from refresher.settings import Settings
from refresher.settings.read import read

PKI = {"vault": {"path": "pki/issue/web", "data": {"common_name": "web.example.com"}}}
SEVERAL = {"sources": {"tls": PKI, "flags": "https://config.example.com/flags.json"}}
BUNDLE = {"source": PKI, "render": {"site.pem": {"form": "pem"}, "ca.crt": {"copy": "ca.crt"}}}
IN_PARTS = "the sources' files are in tls/ and flags/; a verifier with source: NAME judges those of one"
ADDRESS = "127.0.0.1:8443"


def web(asset: dict[str, Any], **keys: Any) -> Settings:
    return read({"providers": {"vault": {"address": "https://vault"}}, "assets": {"web": {**asset, **keys}}}, {})


def confirmed(**options: Any) -> list[dict[str, Any]]:
    return [{"http": {"url": "http://127.0.0.1:8080/", "confirm": {"tls": ADDRESS, **options}}}]


@pytest.mark.parametrize(
    ("asset", "keys", "problem"),
    [
        (
            SEVERAL,
            {"verify": ["certificate"]},
            f"verify[0].certificate.certificate: there will be no file 'tls.crt': {IN_PARTS}",
        ),
        (
            SEVERAL,
            {"verify": [{"checksums": {"file": "SUMS"}}]},
            "verify[0].checksums.file: there will be no file 'SUMS'",
        ),
        (SEVERAL, {"notify": confirmed()}, "notify[0].http.confirm.certificate: there will be no file 'tls.crt'"),
        (SEVERAL, {"notify": confirmed(certificate="tsl/tls.crt")}, "there will be no file 'tsl/tls.crt'"),
        (BUNDLE, {"verify": ["certificate"]}, "there will be no file 'tls.key': render makes site.pem, ca.crt"),
        (BUNDLE, {"notify": confirmed()}, "there will be no file 'tls.crt': render makes site.pem, ca.crt"),
        (BUNDLE, {"publish": {"layout": "file"}}, "publish.layout: must be another one than file"),
    ],
)
def test_a_file_that_can_never_be_there_is_told_with_those_that_can(
    asset: dict[str, Any], keys: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        web(asset, **keys)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("asset", "keys"),
    [
        (SEVERAL, {"verify": [{"certificate": {"source": "tls"}}]}),
        (SEVERAL, {"verify": [{"certificate": {"certificate": "tls/tls.crt", "key": "tls/tls.key"}}]}),
        (SEVERAL, {"notify": confirmed(certificate="tls/tls.crt")}),
        (BUNDLE, {"verify": [{"certificate": {"certificate": "site.pem", "key": "site.pem"}}]}),
        (BUNDLE, {"notify": confirmed(certificate="site.pem")}),
        ({"source": PKI}, {"verify": ["certificate"], "notify": confirmed(certificate="any.pem")}),
        ({"source": PKI, "render": {"all": {"form": "env"}}}, {"publish": {"layout": "file"}}),
    ],
)
def test_what_may_be_there_is_nobody_s_mistake(asset: dict[str, Any], keys: dict[str, Any]) -> None:
    assert list(web(asset, **keys).assets) == ["web"]
