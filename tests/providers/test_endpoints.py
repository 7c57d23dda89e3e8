"""Which server each provider says that it asks, and what counts as that server's failure."""

import pytest
import urllib3

from providers.answers import status_error
from providers.connections import Origin
from providers.http import HttpOptions, HttpProvider
from providers.s3.options import S3Options
from providers.s3.sessions import endpoint
from providers.s3.troubles import Answer, refusal
from providers.unreachable import unreachable
from providers.vault.options import VaultOptions
from providers.vault.provider import Shared, VaultProvider
from refresher.errors import PermanentError, RefresherError, TransientError, UnavailableError

AWS = {"AWS_ENDPOINT_URL": "https://s3.internal:9000/base", "AWS_REGION": "eu-north-1"}


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://vault/v1", "https://vault:443"),
        ("http://VAULT:8200?x=y", "http://vault:8200"),
        ("https://[::1]:8200/", "https://[::1]:8200"),
        ("https://me:word@vault:8200", "https://vault:8200"),
    ],
)
def test_two_ways_to_write_a_server_are_one_and_show_neither_path_nor_login(url: str, origin: str) -> None:
    assert str(Origin.of(url)) == origin


def test_http_names_the_configured_server() -> None:
    assert HttpProvider(HttpOptions(url="https://example.com/a/b?token=x")).endpoint == "https://example.com:443"


def test_vault_names_its_address_whatever_the_namespace_and_the_path() -> None:
    shared = Shared()
    sources = [
        VaultProvider(VaultOptions(address="https://vault:8200", path=path, namespace=space), shared)
        for path, space in (("kv/a", None), ("kv/b", "team"))
    ]
    assert {source.endpoint for source in sources} == {"https://vault:8200"}
    shared.close()


@pytest.mark.parametrize(
    ("options", "environment", "origin"),
    [
        ({"endpoint_url": "http://127.0.0.1:8333"}, AWS, "http://127.0.0.1:8333"),
        ({}, AWS, "https://s3.internal:9000"),
        ({}, {**AWS, "AWS_ENDPOINT_URL_S3": "https://other"}, "https://other:443"),
        ({"region": "eu-west-1"}, {}, "https://s3.eu-west-1.amazonaws.com:443"),
        ({}, {"AWS_DEFAULT_REGION": "eu-west-2"}, "https://s3.eu-west-2.amazonaws.com:443"),
        ({}, {}, "https://s3.amazonaws.com:443"),
        ({}, {"AWS_ENDPOINT_URL": "nonsense"}, ""),
        ({}, {"AWS_ENDPOINT_URL": "https://host:port"}, ""),
    ],
)
def test_s3_names_the_endpoint_that_the_options_or_the_environment_say(
    options: dict[str, str], environment: dict[str, str], origin: str
) -> None:
    assert endpoint(S3Options(bucket="b", key="k", **options), environment) == origin  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, PermanentError),
        (408, TransientError),
        (429, UnavailableError),
        (500, TransientError),
        (502, UnavailableError),
        (503, UnavailableError),
        (504, UnavailableError),
    ],
)
def test_an_answer_is_the_servers_failure_or_one_things(status: int, kind: type[RefresherError]) -> None:
    assert type(status_error(urllib3.HTTPResponse(status=status), "https://example.com/a")) is kind
    assert type(refusal(Answer("", status, {}), "s3://b/k", reading=False)) is kind


def test_s3_asks_for_a_pause_by_a_code_too() -> None:
    assert isinstance(refusal(Answer("SlowDown", 500, {}), "s3://b/k", reading=False), UnavailableError)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (urllib3.exceptions.ReadTimeoutError(None, "", "slow"), UnavailableError),  # type: ignore[arg-type]
        (urllib3.exceptions.ProtocolError("aborted", ConnectionResetError()), UnavailableError),
        (ConnectionRefusedError(), UnavailableError),
        (urllib3.exceptions.ProtocolError("broken", urllib3.exceptions.HTTPError()), TransientError),
    ],
)
def test_nobody_there_is_told_from_an_answer_that_breaks_off(error: Exception, kind: type[RefresherError]) -> None:
    assert type(unreachable(error, "https://example.com/a")) is kind
