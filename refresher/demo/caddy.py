"""Caddy, a web server, on loopback: files with ETags and ranges, over HTTP and over TLS with a CA of its own."""

import contextlib
import secrets
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from refresher.demo.process import free_port, program, running

STARTS = 3
"""Attempts: a port that was free a moment ago can belong to somebody else when the server takes it."""
NAME = "files.example"
"""What the server is called by those who come through a proxy, which are never led to loopback by its address."""
CONFIG = """
{{
    admin off
    auto_https disable_redirects
    skip_install_trust
    persist_config off
    storage file_system {directory}/storage
}}
(files) {{
    bind 127.0.0.1
    root * {root}
    basic_auth /basic/* {{
        {username} {hashed}
    }}
    @stranger {{
        path /bearer/*
        not header Authorization "Bearer {token}"
    }}
    respond @stranger 401
    redir /redirect {{http.request.uri.query.to}} 302
    file_server
}}
http://127.0.0.1:{port}, http://{name}:{port} {{
    import files
}}
https://127.0.0.1:{tls_port}, https://{name}:{tls_port} {{
    tls internal
    import files
}}
"""


@dataclass(frozen=True, kw_only=True)
class Caddy:
    """A running server. `/basic/…` wants `username` and `password`, `/bearer/…` the `token`; the rest is public.

    `/redirect?to=URL` redirects there.
    """

    url: str
    https_url: str
    ca_file: Path
    root: Path
    username: str = "reader"
    password: str = field(repr=False)
    token: str = field(repr=False)

    @classmethod
    @contextlib.contextmanager
    def started(cls, directory: Path) -> Iterator["Caddy"]:
        """A server of the files in `directory/root`, until the context ends. RuntimeError if it doesn't come up."""
        with contextlib.ExitStack() as stack:
            yield _first(directory, stack)


def _first(directory: Path, stack: contextlib.ExitStack) -> Caddy:
    for attempt in range(1, STARTS + 1):
        try:
            return stack.enter_context(_once(directory))
        except RuntimeError:
            if attempt == STARTS:
                raise
    raise AssertionError


@contextlib.contextmanager
def _once(directory: Path) -> Iterator[Caddy]:
    root = directory / "root"
    root.mkdir(exist_ok=True)
    port, tls_port = free_port(), free_port()
    server = Caddy(
        url=f"http://127.0.0.1:{port}",
        https_url=f"https://127.0.0.1:{tls_port}",
        ca_file=directory / "storage/pki/authorities/local/root.crt",
        root=root,
        password=secrets.token_hex(16),
        token=secrets.token_hex(16),
    )
    config = directory / "Caddyfile"
    config.write_text(
        CONFIG.format(
            directory=directory,
            root=root,
            name=NAME,
            username=server.username,
            hashed=_hashed(server.password),
            token=server.token,
            port=port,
            tls_port=tls_port,
        )
    )
    argv = [program("caddy"), "run", "--config", str(config), "--adapter", "caddyfile"]
    with running(argv, log=directory / "caddy.log", answers=lambda: _answers(server)):
        yield server


def _hashed(password: str) -> str:
    argv = [program("caddy"), "hash-password", "--bcrypt-cost", "4"]
    return subprocess.run(argv, input=f"{password}\n", capture_output=True, text=True, check=True).stdout.strip()


def _answers(server: Caddy) -> bool:
    """Whether both addresses answer; the certificates are made a moment after the start."""
    port = int(server.https_url.rpartition(":")[2])
    context = ssl.create_default_context(cafile=server.ca_file)
    for name in ("127.0.0.1", NAME):
        with socket.create_connection(("127.0.0.1", port), 2) as raw, context.wrap_socket(raw, server_hostname=name):
            pass
    with urllib3.PoolManager() as pool, contextlib.suppress(urllib3.exceptions.HTTPError):
        return pool.request("GET", server.url, retries=False, timeout=2).status in (200, 404)
    return False
