"""The composition root: from a configuration to a running sidecar, and back to nothing."""

import gc
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import timedelta
from signal import SIGUSR1
from typing import TYPE_CHECKING, Any

from refresher import __version__
from refresher.clockwork import Clockwork
from refresher.control.metrics import Metrics
from refresher.drift import LOOK_EVERY
from refresher.due import Due
from refresher.host import End, at_signal, begin, now, reap_orphans, seed
from refresher.keeper import Keeper, Request
from refresher.model import Asset, Outcome
from refresher.notify import Telling
from refresher.record import Record
from refresher.report import Log
from refresher.settings import Settings, SharedParts, assets
from refresher.state import AssetState, Trigger
from refresher.teller import Tellers
from refresher.triggers import Triggers

if TYPE_CHECKING:
    from refresher.control.server import ControlServer

log = logging.getLogger("refresher")

WORKERS = 64
"""Threads at the most; they are started on demand, so that sources that never answer hold up no other."""
STUCK = timedelta(seconds=30)
"""Without a beat of the scheduler for so long, the sidecar is not alive: six beats."""


class Report:
    """Reports to the log and counts in the metrics."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log, self._metrics = log, metrics

    def refreshed(self, outcome: Outcome, due: Due | None) -> None:
        """A refresh ended; the next one is due then."""
        self._metrics.observe(outcome)
        self._log.refreshed(outcome, due)

    def told(self, telling: Telling) -> None:
        """One attempt to tell ended."""
        if telling.result != "initial":
            self._metrics.observe_telling(telling.asset, telling.notifier, telling.result)
        self._log.told(telling)

    def woken(self, asset: str, trigger: Trigger) -> None:
        """Something besides the schedule and the local API wants a look or a refresh."""
        self._metrics.observe_trigger(asset, trigger)
        self._log.woken(asset, trigger)


class Sidecar:
    """Keepers, their clockwork, the listeners and the watches, started and stopped together."""

    def __init__(self, settings: Settings) -> None:
        self._shared = SharedParts()
        kept = assets(settings, self._shared)
        self._clockwork = Clockwork(workers=WORKERS)
        metrics = Metrics(self, notifiers={asset.name: [one.name for one in asset.notifiers] for asset in kept})
        report = Report(Log(), metrics)
        self._keepers = {keeper.asset.name: keeper for keeper in self._keep(kept, report)}
        self._settings, self._metrics = settings, metrics
        self._triggers = Triggers(report.woken, seed=seed())
        self._running = ExitStack()

    def start(self) -> None:
        """Start everything; what is held is used, what is due is fetched. Raises ConfigError if an address is taken."""
        self._clockwork.start()
        self._running.callback(self._shared.close)
        self._running.callback(self._clockwork.stop)
        for keeper in self._keepers.values():
            keeper.start()
        self._triggers.follow(self._keepers.values())
        self._running.callback(self._triggers.stop)
        self._look_over()
        server = _server(self, self._metrics, self._settings)
        if server:
            server.start()
            self._running.callback(server.stop)

    def stop(self) -> None:
        """Stop everything, in the opposite order; nothing is waited for."""
        self._running.close()

    def names(self) -> Sequence[str]:
        """The configured assets."""
        return list(self._keepers)

    def request_all(self) -> None:
        """Ask for a refresh of every asset now, because of a signal."""
        self._triggers.ask_all()

    def state(self, asset: str) -> AssetState:
        """How an asset stands. KeyError for an unknown name."""
        return self._keepers[asset].state()

    def request(self, asset: str) -> Request:
        """Ask for a refresh now. KeyError for an unknown name."""
        return self._keepers[asset].request()

    def go_back(self, asset: str, *, to: int | None) -> Future[None]:
        """Put an earlier generation back and pin it. KeyError for an unknown name."""
        return self._keepers[asset].go_back(to=to)

    def unpin(self, asset: str) -> Future[None]:
        """Follow the source again. KeyError for an unknown name."""
        return self._keepers[asset].unpin()

    def alive(self) -> bool:
        """Whether the scheduler's loop runs."""
        return now() - self._clockwork.beat_at < STUCK

    def config_valid(self) -> bool:
        """Whether the configuration works: this sidecar runs on it."""
        return True

    def _keep(self, kept: Sequence[Asset], report: Report) -> list[Keeper]:
        parts: dict[str, Any] = {"clockwork": self._clockwork, "clock": now, "seed": seed(), "reporter": report}
        records = [Record(asset, started_at=now()) for asset in kept]
        tellers = Tellers(records, rolled_back=lambda asset: self._keepers[asset.name].was_rolled_back(), **parts)
        return [Keeper(record, tellers=tellers, **parts) for record in records]

    def _look_over(self) -> None:
        """All assets in one action: waking up costs more than looking."""
        try:
            for keeper in self._keepers.values():
                keeper.look_over()
        finally:
            self._clockwork.at("look over", now() + LOOK_EVERY, self._look_over)


def _server(sidecar: Sidecar, metrics: Metrics, settings: Settings) -> "ControlServer | None":
    control, probes = settings.control, settings.probes
    if control.listen is None and probes.listen is None:
        return None
    # Loaded here, while the sources are being asked: it takes 0.1 s, and the first file need not wait for it.
    from refresher.control.server import ControlServer

    return ControlServer(
        sidecar,
        metrics,
        clock=now,
        listen=str(control.listen) if control.listen else None,
        probes=str(probes.listen) if probes.listen else None,
        hosts=control.hosts,
        token=control.token,
    )


def run(settings: Settings) -> None:
    """Run the sidecar until SIGTERM or SIGINT."""
    begin()
    reap_orphans()
    end = End()
    sidecar = Sidecar(settings)
    at_signal(SIGUSR1, sidecar.request_all)
    sidecar.start()
    # What the start made stays, so that the collector need not look through it again and again.
    gc.collect()
    gc.freeze()
    log.info("refresher %s keeps fresh in %s: %s", __version__, settings.volume, ", ".join(sidecar.names()))
    try:
        end.wait()
    finally:
        sidecar.stop()
    log.info("stopped")
