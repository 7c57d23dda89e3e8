"""What is said of how an asset stands: the same words on a terminal and on the page, from the API's document.

Pure functions; what needs the present moment is given it as `now`, aware.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import pairwise
from math import log10
from typing import Any

State = Mapping[str, Any]
"""An asset's document, as `GET /assets` lists it."""

UNITS = ("B", "kB", "MB", "GB", "TB")
SPANS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
WHY = {
    "first": "as nothing is held",
    "source-changed": "from its new source",
    "interval": "to look again",
    "renewal": "to renew it",
    "rotation": "after its rotation",
    "emergency": "before it ends",
    "retry": "to try again",
    "endpoint": "if its server answers",
}
"""By `why_next`: what the next refresh is for."""


class Level(IntEnum):
    """How much something matters, worst first."""

    UNUSABLE = 0
    TROUBLE = 1
    NOTICE = 2
    BUSY = 3
    WELL = 4

    @property
    def mark(self) -> str:
        """A letter that says it without any colour."""
        return "✗!•…✓"[self]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say about an asset: in a few words, and if there is more to it, in a sentence."""

    level: Level
    words: str
    sentence: str = ""


def remarks(state: State, *, now: datetime) -> list[Remark]:
    """Everything there is to say, worst first; never nothing."""
    found = [say(state, now) for say in _REMARKS]
    said = sorted((remark for remark in found if remark), key=lambda remark: remark.level)
    return said or [Remark(Level.WELL, "fresh")]


def worst_first(states: Sequence[State], *, now: datetime) -> list[State]:
    """The assets by their worst remark; of equals, the one that expires first."""

    def badness(state: State) -> tuple[Level, str, str]:
        return remarks(state, now=now)[0].level, state["expires_at"] or "never", state["asset"]

    return sorted(states, key=badness)


def configuration_alarms(configuration: Mapping[str, Any]) -> list[str]:
    """What there is to say of how the configuration stands (`configuration` of `GET /assets`); nothing if it's well."""
    problems, waiting = configuration["problems"], configuration["restart_needed"]
    broken = "The configuration file doesn't work, and the configuration from before goes on"
    return [
        *([f"{broken}: {'; '.join(problems)}"] if problems else []),
        *([f"These count from the next restart on: {', '.join(waiting)}"] if waiting else []),
    ]


def summary(states: Sequence[State], *, now: datetime) -> tuple[Level, str]:
    """How all of them stand together, and how bad the worst is."""
    if not states:
        return Level.NOTICE, "no assets are configured"
    first = {state["asset"]: remarks(state, now=now)[0] for state in states}
    unwell = [asset for asset, remark in first.items() if remark.level <= Level.TROUBLE]
    worst = min(remark.level for remark in first.values())
    if len(unwell) > 1:
        return worst, f"{len(unwell)} of {len(first)} assets need attention"
    if unwell or len(first) == 1:
        (asset,) = unwell or first
        return worst, f"{asset}: {first[asset].words}"
    return worst, f"{len(first)} assets, {'all fresh' if worst is Level.WELL else 'none in trouble'}"


def next_refresh(state: State, *, now: datetime) -> str:
    """`in 9 h 10 min, to renew it`."""
    if state["next_refresh_at"] is None:
        return "once it is unpinned" if state["pinned"] else "on request"
    seconds = (datetime.fromisoformat(state["next_refresh_at"]) - now).total_seconds()
    when = span(state["next_refresh_at"], now=now) if seconds >= 1 else "now"
    return f"{when}, {WHY.get(state['why_next'], state['why_next'])}"


def expiry(state: State, *, now: datetime) -> str:
    """`expires in 3 h 20 min`, `expired 2 h ago`, `does not expire`."""
    if state["expires_at"] is None:
        return "does not expire"
    when = span(state["expires_at"], now=now)
    return f"{'expires' if when.startswith('in ') else 'expired'} {when}"


def span(at: str | None, *, now: datetime) -> str:
    """`in 3 h 20 min`, `2 min ago`, `just now`; `never` for no moment."""
    if at is None:
        return "never"
    left = datetime.fromisoformat(at) - now
    if -1 <= round(left.total_seconds()) <= 0:
        return "just now"
    return f"in {duration(left)}" if left > timedelta(0) else f"{duration(-left)} ago"


def duration(time: timedelta) -> str:
    """`3 h 20 min`: one unit, and while that is below ten the next one, too: enough to decide whether to get up."""
    seconds = round(time.total_seconds())
    for (unit, size), (smaller, of_it) in pairwise(SPANS):
        count, rest = divmod(seconds, size)
        if count:
            more = rest // of_it if count < 10 else 0
            return f"{count} {unit} {more} {smaller}" if more else f"{count} {unit}"
    return f"{seconds} s"


def counted(count: int, thing: str) -> str:
    """`1 file`, `3 files`."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """`85.0 MB`: in thousands, as networks are measured."""
    power = min(int(log10(max(count, 1))) // 3, len(UNITS) - 1)
    return f"{count / 1000**power:.1f} {UNITS[power]}"


def transfer(state: State) -> str:
    """`1.2 GB of 4.3 GB, 85.0 MB/s, 36 s left`: how much has come, how fast, and when it will be all."""
    coming = state.get("transfer")
    if not coming:
        return ""
    received, expected, rate = coming["received"], coming["expected"], coming["bytes_per_second"]
    if received == expected:
        return f"{size(received)}, being checked"
    if expected is None:
        return f"{size(received)}, {size(rate)}/s"
    left = f", {duration(timedelta(seconds=max(0, expected - received) / rate))} left" if rate else ""
    return f"{size(received)} of {size(expected)}, {size(rate)}/s{left}"


def printable(text: str) -> str:
    """Without what a terminal would obey and what turns a line of text around: sources and apps write into errors."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def ended(outcome: Mapping[str, Any]) -> str:
    """How one refresh in the history ended: `published generation 7, 1.2 GB in 15 s`."""
    number = outcome["generation"] if outcome["result"] in ("published", "rolled-back") else None
    which = f"generation {number}" if number else ""
    result = {"rolled-back": "rolled back to"}.get(outcome["result"], outcome["result"]) if which else outcome["result"]
    began, over = (datetime.fromisoformat(outcome[name]) for name in ("started_at", "finished_at"))
    took = f"in {duration(over - began)}" if over > began else ""
    came = size(outcome["fetched_bytes"]) if outcome["fetched_bytes"] else ""
    return ", ".join(filter(None, (f"{result} {which}".rstrip(), f"{came} {took}".strip())))


def _missing(state: State, now: datetime) -> Remark | None:
    if state["generation"] is not None:
        return None
    # Before the first attempt has ended this is how every asset begins, and nothing to get up for.
    return Remark(Level.UNUSABLE if state["result"] else Level.BUSY, "nothing published yet")


def _expired(state: State, now: datetime) -> Remark | None:
    ends_at = state["expires_at"]
    if ends_at is None or datetime.fromisoformat(ends_at) > now:
        return None
    return Remark(Level.UNUSABLE, expiry(state, now=now))


def _refused(state: State, now: datetime) -> Remark | None:
    return Remark(Level.TROUBLE, "refused by the app", state["refused"]) if state["refused"] else None


def _went_wrong(state: State, now: datetime) -> Remark | None:
    """What the last outcome was, unless it was a good one, or a rollback by hand, which gives no reason."""
    if state["result"] in ("failed", "rejected") or (state["result"] == "rolled-back" and state["error"]):
        return Remark(Level.TROUBLE, state["result"].replace("-", " "), state["error"] or "")
    return None


def _unreached(state: State, now: datetime) -> Remark | None:
    server = state.get("endpoint")
    if not server or server["failures"] < 2:  # one alone may have trouble of its own
        return None
    asked = f"again {span(server['until'], now=now)}" if server["circuit"] == "open" else "by one at a time"
    said = f"{server['address']} doesn't answer, as {counted(server['failures'], 'asset')} found; asked {asked}"
    return Remark(Level.NOTICE, "server away", said)


def _untold(state: State, now: datetime) -> Remark | None:
    visible, told = state["generation"], state["notified_generation"]
    if visible is None or visible == told or state["refused"]:
        return None
    known = f"the app knows of generation {told}" if told else "the app knows of none"
    return Remark(Level.NOTICE, "not told yet", f"generation {visible} is visible, {known}")


def _pinned(state: State, now: datetime) -> Remark | None:
    if not state["pinned"]:
        return None
    unpin = f"refresher unpin {state['asset']}"
    return Remark(Level.NOTICE, "pinned", f"stays at generation {state['generation']} until it is unpinned ({unpin})")


def _coming(state: State, now: datetime) -> Remark | None:
    coming = state.get("transfer")
    if not coming:
        return None
    received, expected = coming["received"], coming["expected"]
    if received == expected:
        return Remark(Level.BUSY, "being checked", transfer(state))
    share = f" {100 * received // expected} %" if expected else ""
    return Remark(Level.BUSY, f"downloading{share}", transfer(state))


_REMARKS: tuple[Callable[[State, datetime], Remark | None], ...] = (
    _missing,
    _expired,
    _refused,
    _went_wrong,
    _unreached,
    _untold,
    _pinned,
    _coming,
)
