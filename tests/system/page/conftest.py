from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.control.serving import served
from tests.fakes.sidecar import NOW, FakeSidecar
from tests.system.page.browser import chromium, opened, url
from tests.system.page.scenes import sidecar

expect.set_options(timeout=30_000)  # milliseconds, on a busy machine


@dataclass
class Visit:
    """Somebody has the page open. `complaints`: what the browser said against it; `asked`: whom it asked for what."""

    page: Page
    sidecar: FakeSidecar
    origin: str
    complaints: list[str]
    asked: list[Request]

    def look(self) -> None:
        """Have the page look again now, and not in a few seconds."""
        with self.page.expect_response(lambda response: response.url.startswith(self.origin)):
            self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.fixture(scope="module")  # its event loop runs as long, and other modules' tests want one of their own
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens the page of a scene; `server` are options of the listener, the others of the browser."""
    with ExitStack() as stack:

        def open_page(scene: str, server: dict[str, Any] | None = None, **options: Any) -> Visit:
            shown = sidecar(scene, now=NOW)
            where = url(stack.enter_context(served(shown, **(server or {}))))
            page = stack.enter_context(opened(browser, "about:blank", **options))
            visit = Visit(page, shown, where, [], [])
            page.on("console", lambda message: visit.complaints.append(message.text))
            page.on("pageerror", lambda error: visit.complaints.append(str(error)))
            page.on("dialog", lambda dialog: visit.complaints.append(dialog.message))
            page.on("request", lambda request: visit.asked.append(request))
            page.goto(where)
            return visit

        yield open_page
