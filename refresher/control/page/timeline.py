"""An asset's life as a line: from when it was published to when it expires, with now and the next refresh on it."""

from datetime import datetime
from xml.etree.ElementTree import Element

from refresher.control.page.markup import element
from refresher.words import State, expiry, next_refresh, span

NEAR = 15.0
"""Percent from an end at which a label begins or ends there, or it would be cut off on a phone."""


def timeline(state: State, *, now: datetime) -> Element | None:
    """The line; None for what nobody published, or what doesn't expire."""
    if not (state["published_at"] and state["expires_at"]):
        return None
    start, expiry = (datetime.fromisoformat(state[name]) for name in ("published_at", "expires_at"))
    refresh = datetime.fromisoformat(state["next_refresh_at"]) if state["next_refresh_at"] else None
    end = max(expiry, now, refresh or now)

    def at(moment: datetime) -> float:
        return max(0.0, min(100.0, 100 * (moment - start) / (end - start))) if end > start else 100.0

    return element(
        "svg",
        _bar("life", 0, at(expiry)),
        _bar("lived", 0, at(min(now, expiry))),
        _bar("over", at(expiry), at(now)) if now > expiry else None,
        *(_mark("next", "next refresh", at(refresh), label_y=44) if refresh else ()),
        *_mark("now", "now", at(now), label_y=10),
        class_="timeline",
        role="img",
        aria_label=_in_words(state, now),
    )


def _bar(kind: str, begin: float, end: float) -> Element:
    return element("rect", class_=kind, x=f"{begin:.2f}%", y=20, width=f"{max(end - begin, 0):.2f}%", height=8, rx=4)


def _mark(kind: str, label: str, at: float, *, label_y: int) -> tuple[Element, Element]:
    anchor = "start" if at < NEAR else "end" if at > 100 - NEAR else "middle"
    # A mark at an end would be cut in half: keep it inside, as percents and pixels can't be added up in SVG.
    place = f"{min(max(at, 0.8), 99.2):.2f}%"
    line = element("line", class_=kind, x1=place, x2=place, y1=16, y2=32)
    return line, element("text", label, class_=kind, x=f"{at:.2f}%", y=label_y, text_anchor=anchor)


def _in_words(state: State, now: datetime) -> str:
    published = span(state["published_at"], now=now)
    return f"Published {published}, {expiry(state, now=now)}; next refresh {next_refresh(state, now=now)}."
