"""The web server outside of the pod that the examples' settings come from."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.fakes.serving import Asked, Reply, serving
from tests.pods.manifests import Documents, configuration, find_outside

URL = "REFRESHER_ASSETS__SETTINGS__SOURCE__HTTP__URL"


class Site:
    """Serves settings, which a test may replace; `sent` is how often, other than "you have them"."""

    def __init__(self) -> None:
        self._content = b""
        self.serve(greeting="hello")
        self.sent = 0
        self._before: Callable[[], object] = lambda: None
        self._address = ""

    @contextlib.contextmanager
    def running(self) -> Iterator["Site"]:
        """Until the context ends."""
        with serving(self._answer) as self._address:
            yield self

    def serve(self, **settings: Any) -> None:
        """From now on, these settings."""
        self._content = json.dumps(settings).encode()

    @contextlib.contextmanager
    def silent(self) -> Iterator[threading.Event]:
        """Until the context ends nobody is answered; the event is set once somebody has asked."""
        asked, over = threading.Event(), threading.Event()

        def wait() -> None:
            asked.set()
            over.wait(60)

        self._before = wait
        try:
            yield asked
        finally:
            over.set()

    def lead(self, documents: Documents) -> None:
        """Have the pod find this server under the name that the manifest says."""
        assets = yaml.safe_load(configuration(documents)["refresher.yaml"])["assets"]
        host = urlsplit(assets["settings"]["source"]["http"]["url"]).hostname or ""
        port = self._address.rpartition(":")[2]
        find_outside(documents, host, {URL: f"http://{host}:{port}/settings.json"})

    def _answer(self, asked: Asked) -> Reply:
        self._before()
        tag = f'"{hashlib.sha256(self._content).hexdigest()}"'
        if asked.headers.get("If-None-Match") == tag:
            return Reply(304, headers={"ETag": tag})
        self.sent += 1
        return Reply(200, self._content, {"ETag": tag})
