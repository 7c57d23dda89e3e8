"""The plan for people: a paragraph an asset."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from refresher.words import counted, printable, span

SHORT = 16
"""Characters of a revision that are shown of a long one."""


def plan_text(plans: Sequence[Mapping[str, Any]], *, now: datetime) -> str:
    """What is held, whom it was told, what is next and why, and what lost."""
    return "\n\n".join("\n".join([plan["asset"], *map(printable, _lines(plan, now))]) for plan in plans)


def _lines(plan: Mapping[str, Any], now: datetime) -> Iterator[str]:
    yield _line("held", _held(plan["held"], now))
    for told in plan["told"]:
        yield _line("told", _told(told, now))
    yield _line("next", f"{_next(plan, now)}: {plan['because']}")
    if plan["unknown"]:
        yield _line("", plan["unknown"])
    if plan["looks_every"]:
        yield _line("look", f"every {plan['looks_every']}, whether what was made anew is still good")
    for lost in plan["lost"]:
        yield _line("not", f"{lost['why']}, {_moment(lost['at'], now)}: {lost['because']}")


def _line(head: str, text: str) -> str:
    return f"  {head:<5} {text}"


def _held(held: Mapping[str, Any] | None, now: datetime) -> str:
    if held is None:
        return "nothing"
    end = f"expires {_moment(held['expires_at'], now)}" if held["expires_at"] else "has no end"
    notes = [note for note in ("pinned", "minted") if held[note]]
    parts = [f"generation {held['generation']}", f"revision {_short(held['revision'])}", counted(held["files"], "file")]
    return ", ".join([*parts, f"published {_moment(held['published_at'], now)}", end, *notes])


def _short(revision: str) -> str:
    """The beginning of a revision that is a digest; the document has all of it."""
    return f"{revision[:SHORT]}…" if len(revision) > 2 * SHORT else revision or "-"


def _told(told: Mapping[str, Any], now: datetime) -> str:
    owed = "; the visible one is still to be told" if told["owed"] else ""
    if told["generation"] is None:
        return f"{told['notifier']}: nothing yet{owed}"
    refused = f", refused: {told['refused']}" if told["refused"] is not None else ""
    return f"{told['notifier']}: generation {told['generation']}, {span(told['at'], now=now)}{refused}{owed}"


def _next(plan: Mapping[str, Any], now: datetime) -> str:
    if plan["why_next"] is None:
        return "nothing planned"
    if plan["next_refresh_at"] is None:
        return f"{plan['why_next']}, {span(plan['latest'], now=now)} at the latest"
    return f"{plan['why_next']}, {_moment(plan['next_refresh_at'], now)}"


def _moment(written: str, now: datetime) -> str:
    """`2026-11-22T09:00:00Z (in 3 h 20 min)`."""
    return f"{written} ({span(written, now=now)})"
