"""Debian's Chromium on a page that a real control listener serves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from refresher.control.metrics import Metrics
from refresher.control.server import ControlServer
from tests.fakes.sidecar import FakeSidecar

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",  # the tests may be run by root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
PHONE = {"width": 390, "height": 844}
LAPTOP = {"width": 1280, "height": 800}


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(sidecar: FakeSidecar, **options: Any) -> Iterator[ControlServer]:
    """The control listener of a sidecar, at `NOW`."""
    clock: Callable[[], datetime] = lambda: NOW  # noqa: E731
    server = ControlServer(
        sidecar, Metrics(sidecar, notifiers={}), **{"clock": clock, "listen": "127.0.0.1:0", **options}
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


def url(server: ControlServer) -> str:
    """Where the page is."""
    return f"http://{server.addresses[0]}/"


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A page of a browser that was never used, in a zone that isn't UTC, once it has loaded."""
    settings = {"viewport": LAPTOP, "timezone_id": "Asia/Kolkata", "locale": "en-GB", **options}
    context = browser.new_context(**settings)
    try:
        page = context.new_page()
        page.clock.set_fixed_time(NOW)  # its timers run all the same
        page.goto(address)
        yield page
    finally:
        context.close()
