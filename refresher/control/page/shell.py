"""The page around the assets: its style and its script, and the policy that lets the browser obey those two only."""

from base64 import b64encode
from collections.abc import Container, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from importlib.resources import files
from itertools import chain
from string import Template
from typing import Any
from urllib.parse import quote

from refresher import __version__
from refresher.control.page.drawing import articles, heading
from refresher.control.page.markup import element, html
from refresher.host import seed
from refresher.words import Level, State, configuration_alarms, summary

STOPPED = "The scheduler doesn't run any more: nothing is refreshed."

DOTS = {
    Level.UNUSABLE: "#dc2626",
    Level.TROUBLE: "#f59e0b",
    Level.NOTICE: "#3b82f6",
    Level.BUSY: "#3b82f6",
    Level.WELL: "#16a34a",
}
"""The tab's icon, so that a page in the background tells it, too."""


class Shell:
    """Reads the page's files, once. `calls` are listed at its end; `token`: whether a refresh needs one."""

    def __init__(self, calls: Mapping[str, str], *, token: bool) -> None:
        parts = files(__package__)
        style, script, page = (parts.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("css", "js", "html"))
        self._page = Template(page)
        self._fixed = {
            "style": style,
            "script": script,
            "calls": _calls(calls),
            "version": __version__,
            "token": "needed" if token else "",
        }
        self.headers = {
            "content-security-policy": policy(style, script),
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "no-referrer",
        }

    def page(
        self,
        states: Sequence[State],
        configuration: Mapping[str, Any],
        *,
        opened: Container[str] | None = None,
        now: datetime,
        alive: bool,
    ) -> bytes:
        """The whole page, with the details of those assets that are `opened` (None: of all).

        `configuration` is how that stands, as `GET /assets` says it; `alive`: whether the scheduler's heart beats.
        """
        level, words = summary(states, now=now)
        filled = self._page.substitute(
            self._fixed,
            title=html(element("title", f"{level.mark} {words} · refresher")),
            icon=_icon(level),
            heading=html(heading(states, host=seed(), now=now)),
            alarms=_alarms([] if alive else [STOPPED], configuration_alarms(configuration)),
            assets="".join(map(html, articles(states, opened=opened, now=now))),
        )
        return filled.encode("utf-8", "replace")  # a source's answer needn't be text


def policy(style: str, script: str) -> str:
    """The browser runs this script and obeys this style, asks nobody but the sidecar, and makes no tags of texts."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _icon(level: Level) -> str:
    circle = element("circle", cx=8, cy=8, r=7, fill=DOTS[level])
    drawn = html(element("svg", circle, xmlns="http://www.w3.org/2000/svg", viewBox="0 0 16 16"))
    return f"data:image/svg+xml,{quote(drawn)}"


def _alarms(*alarms: Sequence[str]) -> str:
    return "".join(html(element("p", alarm, role="alert", class_="alarm")) for alarm in chain(*alarms))


def _calls(calls: Mapping[str, str]) -> str:
    rows = (element("div", element("dt", element("code", call)), element("dd", does)) for call, does in calls.items())
    return html(element("dl", *rows))
