"""Who asks: AWS's own chain of credentials, with a profile and a role to take if the options name them."""

import os
from collections.abc import Mapping
from functools import partial

import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError

from providers.connections import CONNECTIONS, Origin
from providers.s3.options import S3Options

CONNECT = 5.0
"""Seconds until a connection has to stand."""


def endpoint(options: S3Options, environment: Mapping[str, str] = os.environ) -> str:
    """The server's scheme, host and port, as options and environment name it; botocore itself takes long to say.

    Empty if what they name is no URL: botocore says so when it is asked.
    """
    named = options.endpoint_url or environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    region = options.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    try:
        return str(Origin.of(named or f"https://s3.{f'{region}.' if region else ''}amazonaws.com"))
    except (KeyError, ValueError):
        return ""


def session(options: S3Options, *, read_timeout: float) -> botocore.session.Session:
    """A session with the chain, or the role's credentials; making clients in it is not safe between threads."""
    made = _chain(options, read_timeout)
    if options.role_arn:
        role = _Role(options.role_arn, options, _chain(options, read_timeout))
        made.register_component("credential_provider", CredentialResolver([role]))
    return made


def _chain(options: S3Options, read_timeout: float) -> botocore.session.Session:
    made = botocore.session.Session(profile=options.profile)
    # For the token services that botocore asks by itself, too: it would wait for a minute, five times.
    made.set_default_client_config(
        Config(
            connect_timeout=CONNECT,
            read_timeout=read_timeout,
            max_pool_connections=CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
    )
    # Two thirds of the processor time for a listing went into the times of objects, which nobody looks at.
    made.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    return made


class _Role(CredentialProvider):
    """The role's credentials, asked for with those of the chain, and again before they end."""

    METHOD = "assume-role"
    CANONICAL_NAME = "refresher-role"

    def __init__(self, arn: str, options: S3Options, source: botocore.session.Session) -> None:
        super().__init__(source)
        self._arn, self._options, self._source = arn, options, source

    def load(self) -> DeferredRefreshableCredentials:
        own = self._source.get_credentials()
        if own is None:
            raise NoCredentialsError
        named = {"RoleSessionName": self._options.role_session_name, "ExternalId": self._options.external_id}
        fetcher = AssumeRoleCredentialFetcher(
            partial(self._source.create_client, region_name=self._options.region),
            own,
            self._arn,
            extra_args={name: value for name, value in named.items() if value},
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)
