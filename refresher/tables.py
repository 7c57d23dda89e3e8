"""Tables for people: how assets stand, and how refreshes ended."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from refresher.words import Level, State, next_refresh, printable, remarks, span, worst_first

MARKS = {"published": "✓", "unchanged": "✓", "rejected": "✗", "failed": "✗", "rolled-back": "↶", None: "…"}
WIDTH = 80
"""Columns that a terminal has at least."""

Paint = Callable[[Level, str], str]
"""Gives a line the colour of how much it matters."""


def status_table(states: Sequence[State], *, now: datetime, paint: Paint = lambda level, line: line) -> str:
    """One line an asset, worst first: its state, until when, what comes next. Below, what there is more to say."""
    sorted_states = worst_first(states, now=now)
    said = [remarks(state, now=now) for state in sorted_states]
    rows = [
        (
            f"{remark.level.mark} {state['asset']}",
            remark.words,
            str(state["generation"] or "-"),
            "-" if state["generation"] is None else span(state["expires_at"], now=now),
            next_refresh(state, now=now),
        )
        for state, (remark, *_) in zip(sorted_states, said, strict=True)
    ]
    head, *lines = table(("ASSET", "STATE", "GEN", "EXPIRES", "NEXT"), rows).split("\n")
    indent = min(head.index("NEXT"), WIDTH * 2 // 3)
    painted = [paint(remark.level, _fitting(line, indent)) for (remark, *_), line in zip(said, lines, strict=True)]
    return "\n".join([head, *painted, *_notes(sorted_states, now)])


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
    lines = [[printable(line[column]) for column in kept] for line in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(kept))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _notes(states: Sequence[State], now: datetime) -> list[str]:
    """What doesn't fit into a column, an empty line before it; nothing if there is none."""
    notes = [
        f"{state['asset']}: {remark.words}{': ' if remark.sentence else ''}{remark.sentence}"
        for state in states
        for number, remark in enumerate(remarks(state, now=now))
        if remark.sentence or number
    ]
    wrapped = [_fitting(printable(note), 2) for note in notes]
    return ["", *wrapped] if wrapped else []


def _fitting(line: str, indent: int) -> str:
    """The line, and where it is longer than a terminal is wide, its rest below, so far to the right."""
    return textwrap.fill(line, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _pin(outcome: Mapping[str, Any]) -> str:
    """Why nothing came of it: a pinned asset's source is asked only when what is held is about to end."""
    if not outcome.get("pinned") or outcome["result"] != "unchanged":
        return ""
    return f"pinned to {outcome['generation']}, so the source was not asked: refresher unpin {outcome['asset']}"
