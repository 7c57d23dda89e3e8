"""Tables for people: how assets stand, and how refreshes ended."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import log10
from typing import Any

MARKS = {"published": "✓", "unchanged": "✓", "rejected": "✗", "failed": "✗", "rolled-back": "↶", None: "…"}
UNITS = ("B", "kB", "MB", "GB", "TB")


def status_table(states: Sequence[Mapping[str, Any]], *, now: datetime) -> str:
    """One line an asset: what is visible, until when, what was told, what comes next."""
    rows = [
        (
            f"{MARKS.get(state['result'], '?')} {state['asset']}",
            str(state["result"] or "nothing yet"),
            str(state["generation"] or "-"),
            _told(state),
            span(state["expires_at"], now),
            _next(state, now),
            _coming(state.get("transfer")),
            state["error"] or state["refused"] or "",
        )
        for state in states
    ]
    return table(("ASSET", "LAST", "GENERATION", "TOLD", "EXPIRES", "NEXT", "COMING", "ERROR"), rows)


def outcome_table(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """One line a refreshed asset."""
    rows = [
        (
            f"{MARKS.get(outcome['result'], '?')} {outcome['asset']}",
            str(outcome["result"] or "unfinished"),
            str(outcome["generation"] or "-"),
            outcome["error"] or _pin(outcome),
        )
        for outcome in outcomes
    ]
    return table(("ASSET", "RESULT", "GENERATION", "ERROR"), rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they have to be; one in which nothing stands is left out."""
    kept = [column for column in range(len(head)) if any(row[column] for row in rows) or not rows]
    lines = [[line[column] for column in kept] for line in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(kept))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _pin(outcome: Mapping[str, Any]) -> str:
    """Why nothing came of it: a pinned asset's source is asked only when what is held is about to end."""
    if not outcome.get("pinned") or outcome["result"] != "unchanged":
        return ""
    return f"pinned to {outcome['generation']}, so the source was not asked: refresher unpin {outcome['asset']}"


def _told(state: Mapping[str, Any]) -> str:
    if state["generation"] is None:
        return "-"
    if state["refused"]:
        return "refused"
    return (
        "yes"
        if state["notified_generation"] == state["generation"]
        else f"not yet ({state['notified_generation'] or '-'})"
    )


def _next(state: Mapping[str, Any], now: datetime) -> str:
    if state["pinned"]:
        return f"pinned to {state['generation']}, until unpinned"
    if state["next_refresh_at"] is None:
        return "on request"
    return f"{span(state['next_refresh_at'], now)} ({state['why_next']})"


def _coming(transfer: Mapping[str, Any] | None) -> str:
    """`1.2 GB of 4.3 GB, 85.0 MB/s, in 36s`: how much, how fast, and when that will be all of it."""
    if transfer is None:
        return ""
    received, expected, rate = transfer["received"], transfer["expected"], transfer["bytes_per_second"]
    if received == expected:
        return f"{size(received)}, being checked"
    if expected is None:
        return f"{size(received)}, {size(rate)}/s"
    left = f", in {lasting(round(max(0, expected - received) / rate))}" if rate else ""
    return f"{size(received)} of {size(expected)}, {size(rate)}/s{left}"


def size(count: float) -> str:
    """`85.0 MB`: in thousands, as networks are measured."""
    power = min(int(log10(max(count, 1))) // 3, len(UNITS) - 1)
    return f"{count / 1000**power:.1f} {UNITS[power]}"


def span(moment: str | None, now: datetime) -> str:
    """`in 3h 20m`, `2m ago`: two units are enough to decide whether to get up."""
    if moment is None:
        return "-"
    seconds = round((datetime.fromisoformat(moment) - now).total_seconds())
    text = lasting(abs(seconds))
    return f"in {text}" if seconds >= 0 else f"{text} ago"


def lasting(seconds: int) -> str:
    """`3h 20m`, `45s`: the two largest units."""
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    parts: list[str] = []
    for name, length in units:
        count, seconds = divmod(seconds, length)
        if count or (name == "s" and not parts):
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])
