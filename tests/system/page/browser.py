"""Debian's Chromium, and the pages that it opens."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from refresher.control.server import ControlServer
from tests.fakes.sidecar import NOW

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
