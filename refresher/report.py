"""Where everything that happens is told: a line in the log, a count in the metrics."""

import logging

from refresher.due import Due
from refresher.model import Outcome, Result
from refresher.notify import Telling

log = logging.getLogger("refresher")

_LEVELS = {
    Result.PUBLISHED: logging.INFO,
    Result.ROLLED_BACK: logging.WARNING,
    Result.UNCHANGED: logging.DEBUG,
    Result.REJECTED: logging.ERROR,
    Result.FAILED: logging.WARNING,
}


class Log:
    """Writes a line for each outcome and telling; for an unchanged look only if trouble ended with it."""

    def __init__(self) -> None:
        self._last: dict[str, Result] = {}

    def refreshed(self, outcome: Outcome, due: Due | None) -> None:
        """A refresh ended; the next one is due then."""
        recovered = self._last.get(outcome.asset, outcome.result) in {Result.FAILED, Result.REJECTED}
        self._last[outcome.asset] = outcome.result
        level = logging.INFO if outcome.result is Result.UNCHANGED and recovered else _LEVELS[outcome.result]
        log.log(level, "%s", _sentence(outcome), extra=_facts(outcome, due))

    def told(self, telling: Telling) -> None:
        """One attempt to tell ended."""
        level = logging.INFO if telling.told and not telling.error else logging.WARNING
        error = f": {telling.error}" if telling.error else ""
        facts = {"asset": telling.asset, "step": "notify", "result": telling.result, "generation": telling.generation}
        log.log(level, "%s: %s %s%s", telling.asset, telling.notifier, telling.result, error, extra=facts)


def _sentence(outcome: Outcome) -> str:
    generation = f" generation {outcome.generation}" if outcome.generation else ""
    held = "; the last good files stay" if outcome.generation else "; nothing is published yet"
    if outcome.error:
        return f"{outcome.asset}: {outcome.result}: {outcome.error}{held}"
    return f"{outcome.asset}: {outcome.result}{generation}"


def _facts(outcome: Outcome, due: Due | None) -> dict[str, object]:
    return {
        "asset": outcome.asset,
        "result": outcome.result,
        "revision": outcome.revision,
        "generation": outcome.generation,
        "duration": outcome.finished_at - outcome.started_at,
        "fetched_bytes": outcome.fetched_bytes or None,
        "error_class": outcome.error_class,
        "next_refresh_at": due.at if due else None,
    }
