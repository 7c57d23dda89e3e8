"""The built-in notifiers keep what the conformance kit asks of everybody's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refresher.contract import Notifier
from refresher.demo.process import free_port
from refresher.notifiers.command import CommandNotifier
from refresher.notifiers.http import HttpNotifier
from refresher.notifiers.marker import MarkerNotifier
from refresher.testing import NotifierContract
from tests.fakes.app import App


def made(kind: type[Any], **options: object) -> Notifier:
    notifier: Notifier = kind(kind.Options.model_validate(options))
    return notifier


class TestHttp(NotifierContract):
    settles_within = 30.0

    @pytest.fixture(autouse=True)
    def _apps(self) -> Iterator[None]:
        with App().running() as self.app, App().running() as self.refusing:
            self.refusing.answering(409)
            yield

    def notifier(self) -> Notifier:
        return made(HttpNotifier, url=self.app.url)

    def heard(self) -> int:
        return int(json.loads(self.app.heard[-1].body)["generation"]) if self.app.heard else 0

    def deaf_notifier(self) -> Notifier:
        return made(HttpNotifier, url=f"http://127.0.0.1:{free_port()}")

    def refusing_notifier(self) -> Notifier:
        return made(HttpNotifier, url=self.refusing.url)

    def silent_notifier(self, host: str, port: int) -> Notifier:
        return made(HttpNotifier, url=f"http://{host}:{port}", timeout="300ms")


class TestMarker(NotifierContract):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.marker = tmp_path / "settings.json"

    def notifier(self) -> Notifier:
        return made(MarkerNotifier, path=self.marker)

    def heard(self) -> int:
        return int(json.loads(self.marker.read_text())["generation"]) if self.marker.exists() else 0

    def deaf_notifier(self) -> Notifier:
        return made(MarkerNotifier, path=self.marker.parent / "not-mounted/settings.json")


class TestCommand(NotifierContract):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.told = tmp_path / "told"

    def shell(self, script: str) -> Notifier:
        return made(CommandNotifier, argv=["/bin/sh", "-c", script])

    def notifier(self) -> Notifier:
        return self.shell(f'echo "$REFRESHER_GENERATION" > {self.told}')

    def heard(self) -> int:
        return int(self.told.read_text()) if self.told.exists() else 0

    def deaf_notifier(self) -> Notifier:
        return made(CommandNotifier, argv=["/no/such"])

    def refusing_notifier(self) -> Notifier:
        return self.shell("exit 65")
