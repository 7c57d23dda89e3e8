"""`refresher once`: every source asked once, for init containers and cron."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Thread
from time import monotonic

from refresher import garbage, host
from refresher.cycle import begin, refresh, release, tidy
from refresher.due import due
from refresher.errors import RefresherError
from refresher.host import now, seed
from refresher.model import Asset, Clock, Outcome, Wish
from refresher.notify import Telling
from refresher.record import Record
from refresher.report import Log
from refresher.settings import Settings, SharedParts, assets
from refresher.standing import GOOD, rechecks
from refresher.telling import tell
from refresher.traffic import Transfer

log = logging.getLogger("refresher")


@dataclass(frozen=True, slots=True)
class Visit:
    """How one asset stands at the end; `outcome` None: its source wasn't asked, or this wasn't done in time (`late`).

    `transfer` is what was on its way then.
    """

    record: Record
    asked: bool
    outcome: Outcome | None
    late: bool = False
    transfer: Transfer | None = None

    @property
    def failed(self) -> bool:
        """Whether the source gave nothing good, or nothing in time."""
        return self.late or (self.asked and (self.outcome is None or self.outcome.result not in GOOD))


class Once:
    """Asks each source once, side by side; things that are made anew only if their renewal is due."""

    def __init__(self, kept: list[Asset], *, clock: Clock, seed: str, notify: bool) -> None:
        self._clock, self._seed, self._notify = clock, seed, notify
        self._records = [Record(asset, started_at=clock()) for asset in kept]
        self._asked: set[str] = set()
        self._outcomes: dict[str, Outcome] = {}
        self._tellings: list[Telling] = []

    def visit(self, *, timeout: timedelta) -> list[Visit]:
        """Ask all, for at most `timeout` altogether."""
        deadline = monotonic() + timeout.total_seconds()
        threads = [Thread(target=self._visit, args=(record,), daemon=True) for record in self._records]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic()))
        return [self._visited(record, thread) for record, thread in zip(self._records, threads, strict=True)]

    def transfers(self) -> dict[str, Transfer]:
        """What is on its way, by asset."""
        under_way = {record.asset.name: record.progress.transfer() for record in self._records}
        return {name: transfer for name, transfer in under_way.items() if transfer}

    @property
    def tellings(self) -> list[Telling]:
        """How the tellings ended."""
        return list(self._tellings)

    def _visited(self, record: Record, thread: Thread) -> Visit:
        name = record.asset.name
        # The outcome last: the thread goes on meanwhile, and one that is done now must not pass for late.
        transfer, goes_on = record.progress.transfer(), thread.is_alive()
        asked, outcome = name in self._asked, self._outcomes.get(name)
        return Visit(record, asked, outcome, late=goes_on and outcome is None, transfer=transfer)

    def _visit(self, record: Record) -> None:
        asset = record.asset
        try:
            record.found(begin(asset))
        except RefresherError as error:
            log.warning("%s: %s", asset.name, error, extra={"asset": asset.name})
        if wish := self._wish(record):
            self._ask(record, wish)
        # What can't be pruned or ended now is so at the next visit.
        with suppress(RefresherError):
            tidy(asset, clock=self._clock)
        with suppress(RefresherError):
            release(asset, clock=self._clock)

    def _ask(self, record: Record, wish: Wish) -> None:
        asset = record.asset
        self._asked.add(asset.name)
        refreshed = refresh(asset, wish=wish, clock=self._clock, progress=record.progress)
        record.ended(refreshed.outcome, refreshed.holding)
        self._outcomes[asset.name] = refreshed.outcome
        for named in asset.notifiers if self._notify else ():
            self._tellings += [told.telling for told in tell(named, [asset], clock=self._clock)]

    def _wish(self, record: Record) -> Wish | None:
        """Things made anew are asked for only when they are due; what else there is to see beside them is looked at."""
        holding = record.holding
        if holding.current is None or not holding.current.minted:
            return Wish.RENEW
        planned = due(record.asset.refresh, record.standing, now=self._clock(), seed=self._seed)
        if planned is not None and planned.at <= self._clock():
            return Wish.RENEW
        return Wish.LOOK if rechecks(record.asset) else None


def once(
    settings: Settings,
    *,
    timeout: timedelta,
    strict: bool,
    notify: bool,
    shown: Callable[[Callable[[], Mapping[str, Transfer]]], AbstractContextManager[None]],
) -> bool:
    """Ask every source once; whether all required assets are ready now (`strict`: and no source failed).

    `shown` is open meanwhile, and can ask what is on its way.
    """
    host.begin()
    log = Log()
    with closing(SharedParts()) as shared:
        visitor = Once(assets(settings, shared), clock=now, seed=seed(), notify=notify)
        garbage.collect_from_now_on()
        with shown(visitor.transfers):
            visits = visitor.visit(timeout=timeout)
    for visit in visits:
        if visit.outcome:
            log.refreshed(visit.outcome, None)
        elif visit.late:
            log.late(visit.record.state(now()), visit.transfer, asked=visit.asked, timeout=timeout)
    for telling in visitor.tellings:
        log.told(telling)
    ready = all(visit.record.is_ready(now()) for visit in visits if visit.record.asset.required)
    return ready and not (strict and any(visit.failed for visit in visits))
