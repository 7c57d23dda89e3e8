"""Where everything that happens is told: a line in the log, a count in the metrics."""

import logging
from collections.abc import Container, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from refresher.due import Due
from refresher.model import Outcome, Result
from refresher.notify import Telling
from refresher.options import write_duration
from refresher.state import AssetState, Trigger
from refresher.thinning import Thinning, gist
from refresher.traffic import Transfer

log = logging.getLogger("refresher")

_LEVELS = {
    Result.PUBLISHED: logging.INFO,
    Result.ROLLED_BACK: logging.WARNING,
    Result.UNCHANGED: logging.DEBUG,
    Result.REJECTED: logging.ERROR,
    Result.FAILED: logging.WARNING,
}
_WOKEN_BY = {
    Trigger.FILE: "a watched file changed",
    Trigger.SOURCE: "its source says that it has something else",
    Trigger.APP: "its trigger file was made or touched",
    Trigger.SIGNAL: "SIGUSR1 came",
}
_WENT_WRONG = (Result.FAILED, Result.REJECTED)

Facts = dict[str, object]
"""What a line says besides its sentence: the names are `logs.FIELDS`."""


@dataclass(slots=True)
class Spell:
    """Failures in a row of one asset's refreshes, or of telling one destination of it."""

    since: datetime
    failures: int = 0
    thinning: Thinning = field(default_factory=Thinning)


class Spells:
    """Who is in trouble, and since when."""

    def __init__(self) -> None:
        self._spells: dict[Hashable, Spell] = {}

    def failed(self, who: Hashable, kind: Hashable, *, since: datetime, at: datetime) -> Facts | None:
        """What to say of one more failure; None: nothing, for the same was said not long ago."""
        spell = self._spells.setdefault(who, Spell(since))
        spell.failures += 1
        left_out = spell.thinning.left_out(kind, at)
        return None if left_out is None else {"failures": spell.failures, "left_out": left_out or None}

    def over(self, who: Hashable, at: datetime) -> Facts:
        """What to say of the end of all failures; nothing if there were none."""
        spell = self._spells.pop(who, None)
        return {"failures": spell.failures, "failing_for": at - spell.since} if spell else {}

    def forget_all_but(self, assets: Container[str]) -> None:
        """Nothing is said of others any more."""
        gone = [who for who in list(self._spells) if _asset_of(who) not in assets]
        for who in gone:
            self._spells.pop(who, None)


def _asset_of(who: Hashable) -> Hashable:
    return who[0] if isinstance(who, tuple) else who


class Log:
    """Writes a line for each outcome and telling, but none for an unchanged look in quiet times.

    Of failures that repeat, ever fewer are written (`thinning`); what ends them says how many there were.
    """

    def __init__(self) -> None:
        self._spells = Spells()

    def forget_all_but(self, assets: Container[str]) -> None:
        """These are the assets that there are."""
        self._spells.forget_all_but(assets)

    def refreshed(self, outcome: Outcome, due: Due | None) -> None:
        """A refresh ended; the next one is due then."""
        level, facts, at = _LEVELS[outcome.result], _facts(outcome, due), outcome.finished_at
        if outcome.result in _WENT_WRONG:
            kind = (outcome.result, outcome.error_class, gist(outcome.error or ""))
            news = self._spells.failed(outcome.asset, kind, since=outcome.started_at, at=at)
            _write(level, _sentence(outcome), facts, news)
        elif outcome.result is Result.ROLLED_BACK:
            _write(level, _sentence(outcome), facts, {})
        else:
            end = self._spells.over(outcome.asset, at)
            _write(logging.INFO if end else level, _sentence(outcome) + _after(end), facts, end)

    def late(self, state: AssetState, transfer: Transfer | None, *, asked: bool, timeout: timedelta) -> None:
        """`once` ends before the asset is done; `asked`: it came as far as to its source."""
        # Before that, what is held isn't known.
        so_far = _so_far(transfer) + _held(state.generation) if asked else ": still looking at what is held"
        sentence = f"{state.asset}: not done within --timeout {write_duration(timeout)}{so_far}"
        received = transfer.received if transfer else None
        facts: Facts = {"asset": state.asset, "generation": state.generation, "fetched_bytes": received or None}
        _write(logging.WARNING, sentence, facts, {})

    def woken(self, asset: str, trigger: Trigger) -> None:
        """A look or a refresh was asked for by this."""
        # What happens by itself would fill the log: a token file of all assets, a source that changes each second.
        level = logging.INFO if trigger in (Trigger.APP, Trigger.SIGNAL) else logging.DEBUG
        log.log(level, "%s: looked at now: %s", asset, _WOKEN_BY[trigger], extra={"asset": asset})

    def told(self, telling: Telling) -> None:
        """One attempt to tell ended."""
        facts: Facts = {
            "asset": telling.asset,
            "step": "notify",
            "result": telling.result,
            "generation": telling.generation,
            "notifier": telling.notifier,
        }
        sentence = (
            f"{telling.asset}: {telling.notifier} {telling.result}{f': {telling.error}' if telling.error else ''}"
        )
        who = (telling.asset, telling.destination)
        if telling.told is None:
            news = self._spells.failed(who, gist(telling.error or ""), since=telling.at, at=telling.at)
            _write(logging.WARNING, sentence, facts, news)
        else:
            end = self._spells.over(who, telling.at)
            _write(logging.WARNING if telling.error else logging.INFO, sentence + _after(end), facts, end)


def _write(level: int, sentence: str, facts: Facts, news: Facts | None) -> None:
    if news is not None:
        log.log(level, "%s", sentence, extra=facts | news)


def _after(end: Facts) -> str:
    if not end:
        return ""
    failures = end["failures"]
    return f", after {failures} failure{'s' if failures != 1 else ''}"


def _sentence(outcome: Outcome) -> str:
    generation = f" generation {outcome.generation}" if outcome.generation else ""
    if outcome.error:
        return f"{outcome.asset}: {outcome.result}: {outcome.error}{_held(outcome.generation)}"
    return f"{outcome.asset}: {outcome.result}{generation}"


def _held(generation: int | None) -> str:
    return "; the last good files stay" if generation else "; nothing is published yet"


def _so_far(transfer: Transfer | None) -> str:
    """How far a fetch is that will not go on here, and what that means for the next one."""
    if transfer is None:
        return ""
    from refresher.words import size  # who runs on need not load it

    if transfer.received == transfer.expected:
        come = f": all {size(transfer.received)} have come, and are being checked"
    elif transfer.expected is None:
        come = f": {size(transfer.received)} have come"
    else:
        come = f": {size(transfer.received)} of the {size(transfer.expected)} to come have come"
    return f"{come}; {'what came is kept for the next run' if transfer.stays else 'the next run begins anew'}"


def _facts(outcome: Outcome, due: Due | None) -> Facts:
    return {
        "asset": outcome.asset,
        "step": _last_step(outcome) if outcome.error else None,
        "result": outcome.result,
        "revision": outcome.revision,
        "generation": outcome.generation,
        "duration": outcome.finished_at - outcome.started_at,
        "fetched_bytes": outcome.fetched_bytes or None,
        "error_class": outcome.error_class,
        "next_refresh_at": due.at if due else None,
    }


def _last_step(outcome: Outcome) -> str | None:
    """Where it ended: steps are measured in their order, and the one that fails is, too."""
    return next(reversed(list(outcome.steps)), None)
