"""What refresher wants of every provider, against a real Git server."""

import socket
from collections.abc import Iterator

import pytest
from refresher_git import GitProvider
from refresher_git.options import GitOptions
from serving import Repository

from refresher.testing import ProviderContract


class TestGitProvider(ProviderContract):
    @pytest.fixture(autouse=True)
    def _source(self, repository: Repository, url: str) -> None:
        self.repository, self.url = repository, url
        self.files = {"config/web/server.conf": b"listen 80\n", "config/web/de/texts.json": b"{}", "README": b"no"}
        repository.commit(self.files)

    @pytest.fixture(autouse=True)
    def _nobody(self) -> Iterator[None]:
        with socket.socket() as bound:  # and not listening: nobody else gets the port, and nobody answers
            bound.bind(("127.0.0.1", 0))
            self.closed = f"http://127.0.0.1:{bound.getsockname()[1]}/settings.git"
            yield

    def provider(self) -> GitProvider:
        return GitProvider(GitOptions(url=self.url, ref="main", path="config/web"))

    def change(self) -> None:
        self.repository.commit({**self.files, "config/web/server.conf": b"listen 8080\n"})

    def missing_provider(self) -> GitProvider:
        return GitProvider(GitOptions(url=self.url, ref="main", path="config/mail"))

    def unreachable_provider(self) -> GitProvider:
        return GitProvider(GitOptions(url=self.closed))

    def silent_provider(self, host: str, port: int) -> GitProvider:
        return GitProvider(GitOptions(url=f"http://{host}:{port}/settings.git"), patience=0.2)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://git.example.com/acme/settings.git", "https://git.example.com:443"),
        ("HTTP://Git.Example.com/other.git", "http://git.example.com:80"),
        ("https://[2001:db8::1]:8443/settings.git", "https://[2001:db8::1]:8443"),
    ],
)
def test_the_endpoint_is_the_server_however_it_is_written(url: str, endpoint: str) -> None:
    assert GitProvider(GitOptions(url=url)).endpoint == endpoint
