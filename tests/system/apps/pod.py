"""The two containers of a recipe, each its own process of one user, and the clients of the app."""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from refresher.demo.process import free_port, running
from tests.journeys.sidecar import Sidecar, kept_running
from tests.system.apps.clients import Client, Connection, Visitor
from tests.system.apps.page import Recipe
from tests.system.apps.servers import SERVERS, Server
from tests.system.apps.user import as_user_of_our_packages, give
from tests.waiting import until

PORTS = ("8443", "8080", "5432", "6379")
PATIENCE = 60.0
"""Seconds for what takes milliseconds on an idle machine."""


class UnprivilegedSidecar(Sidecar):
    """The real process, as the pod's user."""

    def _argv(self, *words: str) -> list[str]:
        return as_user_of_our_packages(super()._argv(*words))


class Pod:
    """A recipe in a directory of its own. `roots` is what the clients trust."""

    def __init__(self, recipe: Recipe, directory: Path, roots: Path) -> None:
        self.server: Server = SERVERS[recipe.name]
        self.directory, self.roots = directory, roots
        self._recipe = recipe
        self._ports = {name: str(free_port()) for name in PORTS}
        self._check()

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._ports[self.server.port])

    def here(self, text: str) -> str:
        """The text with this test's places."""
        for there, here in self.server.replaced.items():
            text = text.replace(there, here)
        text = re.sub(rf"\b(?:{'|'.join(PORTS)})\b", lambda match: self._ports[match[0]], text)
        return re.sub(r"(?<![\w@])/shared", "@pod@/shared", text).replace("@pod@", str(self.directory))

    def asset(self) -> dict[str, Any]:
        """What the page adds to the asset."""
        added: dict[str, Any] = yaml.safe_load(self.here(self._recipe.asset))
        return added

    @contextmanager
    def sidecar(self, whole: Mapping[str, Any]) -> Iterator[UnprivilegedSidecar]:
        """Entered once the first generation is visible."""
        sidecar = UnprivilegedSidecar(self.directory, whole, {})
        self._write_files()
        give(self.directory)
        with kept_running(sidecar):
            until(lambda: sidecar.state("web-tls")["generation"], within=PATIENCE)
            yield sidecar

    @contextmanager
    def app(self) -> Iterator[None]:
        """Entered once it answers."""
        self.server.before(self.directory)
        argv = self.server.run_as([self.here(word) for word in self.server.argv])
        log, environment = self.directory / "app.log", {"HOME": str(self.directory), "PATH": "/usr/sbin:/usr/bin"}
        try:
            with running(argv, log=log, answers=self._answers, env=environment):
                yield
        except AssertionError as error:
            error.add_note(log.read_text()[-2000:])
            raise

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A new one. Raises OSError."""
        with closing(self._connection()) as connection:
            yield connection

    def visitor(self) -> Visitor:
        """A client that keeps its connection."""
        return Visitor(self._connection)

    def client(self) -> Client:
        """One that connects anew all the time."""
        return Client(self.server.protocol, self.port, self.roots)

    def flipped_at(self) -> float:
        """When what is visible now became so, in seconds of the system's clock."""
        return (self.directory / "shared/tls/..data").lstat().st_ctime

    def _write_files(self) -> None:
        named = zip(self.server.files, self._recipe.files, strict=True)
        for name, text in [*named, *self.server.more_files.items()]:
            (self.directory / name).write_text(self.here(text))

    def _answers(self) -> bool:
        self._connection().close()
        return True

    def _connection(self) -> Connection:
        return Connection(self.server.protocol, self.port, self.roots)

    def _check(self) -> None:
        whole = "".join([self._recipe.asset, *self._recipe.files])
        for there in self.server.replaced:
            assert there in whole, f"{self._recipe.name}: {there!r} isn't in the recipe"
