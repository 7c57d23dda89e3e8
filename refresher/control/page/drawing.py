"""How the assets look on the page: each one an article, the worst first."""

from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

from refresher.control.page.markup import Child, element
from refresher.control.page.timeline import timeline
from refresher.words import (
    Level,
    Remark,
    State,
    counted,
    ended,
    expiry,
    next_refresh,
    remarks,
    span,
    summary,
    worst_first,
)

Fact = tuple[Child, ...]
"""What a fact is called, and what is said of it."""


def heading(states: Sequence[State], *, host: str, now: datetime) -> Element:
    """Whose page it is, and how all stand together."""
    level, words = summary(states, now=now)
    return element(
        "header",
        element("p", "refresher", element("span", f" in {host}")),
        element("h1", _mark(level), f" {words}", class_=level.name.lower()),
        element("p", "As it stood at ", clock_time(now), "."),
        id="heading",
    )


def articles(states: Sequence[State], *, opened: Container[str] | None, now: datetime) -> Iterator[Element]:
    """All assets, with the details of those that are `opened`; None: of all."""
    for state in worst_first(states, now=now):
        yield _article(state, now, _details(state, now) if opened is None or state["asset"] in opened else ())


def clock_time(at: datetime | str) -> Element:
    """A moment of the clock: in UTC, which the script writes in the reader's zone, and leaves where one hovers."""
    utc = datetime.fromisoformat(at) if isinstance(at, str) else at
    day, hour = utc.date().isoformat(), utc.strftime("%H:%M:%S")
    written = f"{day} {hour} UTC"
    return element("time", written, datetime=f"{day}T{hour}Z", title=written)


def _article(state: State, now: datetime, details: Sequence[Element]) -> Element:
    said = remarks(state, now=now)
    # An asset may be called web, and another one web-name: what tells the ids apart stands before the name.
    name = f"name-of-{state['asset']}"
    return element(
        "article",
        element(
            "header",
            element("h2", state["asset"], id=name),
            element("p", *_state(said)),
            _button(state["asset"]),
        ),
        element("output", class_="answer", aria_live="polite", data_keep=True),
        _sentences(said),
        _progress(state),
        timeline(state, now=now),
        _ends(state, now),
        _facts(_next(state, now), _since(state, now)),
        element("details", _glance(state), *details, id=f"details-of-{state['asset']}", data_asset=state["asset"]),
        id=f"asset-{state['asset']}",
        class_=said[0].level.name.lower(),
        aria_labelledby=name,
    )


def _state(said: Sequence[Remark]) -> list[Child]:
    """`✗ expired 2 h ago · failed`."""
    first, *more = said
    words = element("strong", _mark(first.level), f" {first.words}", class_=first.level.name.lower())
    return [words, "".join(f" · {remark.words}" for remark in more)]


def _mark(level: Level) -> Element:
    return element("span", level.mark, aria_hidden="true", class_="mark")


def _button(asset: str) -> Element:
    ask = element("button", "Refresh", type="button", data_asset=asset, aria_label=f"Refresh {asset} now")
    return element("div", ask, data_keep=True)


def _sentences(said: Sequence[Remark]) -> Element | None:
    """What there is to say at length: an error, how far a download is."""
    items = [_sentence(remark, named=number > 0) for number, remark in enumerate(said) if remark.sentence]
    return element("ul", *items, class_="said") if items else None


def _sentence(remark: Remark, *, named: bool) -> Element:
    """`named`: it isn't the first one, whose words stand right above."""
    words = element("b", f"{remark.words}: ") if named else None
    return element("li", words, element("bdi", remark.sentence), class_=remark.level.name.lower())


def _progress(state: State) -> Element | None:
    coming = state["transfer"]
    if not (coming and coming["expected"]):
        return None
    label = f"How much of {state['asset']} has come"
    return element("progress", value=coming["received"], max=coming["expected"], aria_label=label)


def _ends(state: State, now: datetime) -> Element | None:
    """The two ends of the line, in words."""
    if state["published_at"] is None:
        return None
    begin = _with_clock(f"published {span(state['published_at'], now=now)}", state["published_at"])
    end = _with_clock(expiry(state, now=now), state["expires_at"])
    return element("p", element("span", *begin), element("span", *end), class_="ends")


def _facts(*facts: Fact | None) -> Element:
    rows = [element("div", element("dt", fact[0]), element("dd", *fact[1:])) for fact in facts if fact]
    return element("dl", *rows)


def _next(state: State, now: datetime) -> Fact:
    return "Next refresh", *_with_clock(next_refresh(state, now=now), state["next_refresh_at"])


def _since(state: State, now: datetime) -> Fact | None:
    """How long it has been going wrong."""
    failures = state["consecutive_failures"]
    if not failures:
        return None
    return *_last_look(state, now), f" and {counted(failures, 'failed attempt')} since"


def _last_look(state: State, now: datetime) -> Fact:
    return "Last good look", *_with_clock(span(state["last_success_at"], now=now), state["last_success_at"])


def _with_clock(words: str, at: str | None) -> Sequence[Child]:
    return [words, " ", clock_time(at)] if at else [words]


def _glance(state: State) -> Element:
    """The last outcomes as a strip, newest last."""
    squares = [element("i", class_=outcome["result"], title=outcome["result"]) for outcome in state["history"]]
    return element("summary", "History and details ", element("span", *squares, class_="strip", aria_hidden="true"))


def _details(state: State, now: datetime) -> Sequence[Element]:
    """The last outcomes in words, newest first, and what few will want to know."""
    facts = _facts(
        None if state["consecutive_failures"] else _last_look(state, now),
        ("Generation", str(state["generation"] or "none")),
        ("Revision", element("code", element("bdi", state["revision"]))) if state["revision"] else None,
    )
    return facts, element("ol", *(_outcome(outcome, now) for outcome in reversed(state["history"])))


def _outcome(outcome: Mapping[str, Any], now: datetime) -> Element:
    when = element("span", *_with_clock(span(outcome["finished_at"], now=now), outcome["finished_at"]))
    error = element("bdi", outcome["error"], class_="error") if outcome["error"] else None
    return element("li", element("b", ended(outcome), class_=outcome["result"]), when, error)
