"""The composition root: from a configuration to a running sidecar, and back to nothing."""

import logging
import signal
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from datetime import timedelta
from threading import RLock
from typing import TYPE_CHECKING

from refresher import __version__, garbage
from refresher.asked import Request
from refresher.clockwork import Clockwork
from refresher.control.metrics import Metrics
from refresher.drift import LOOK_EVERY
from refresher.due import Due
from refresher.endpoint import Endpoints
from refresher.host import End, begin, now, reap_orphans, seed
from refresher.model import Asset, Outcome
from refresher.notify import Telling
from refresher.reload import ConfigurationFile, Reload
from refresher.report import Log
from refresher.roster import Roster
from refresher.settings import Assembly, Settings, SharedParts, assemble, difference
from refresher.state import AssetState, ConfigurationState, Trigger
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
    """Keepers, their clockwork, the listeners and the watches, started and stopped together.

    While it runs, its assets can be changed: `read_again`. Raises ConfigError if the configuration doesn't work.
    """

    def __init__(self, file: ConfigurationFile) -> None:
        self._shared = SharedParts()
        running = assemble(file.read(), self._shared)
        self._clockwork = Clockwork(workers=WORKERS)
        self._log, self._metrics = Log(), Metrics(self, notifiers=notifiers_of(running.assets.values()))
        report = Report(self._log, self._metrics)
        self._endpoints = Endpoints(running.settings.endpoints, clockwork=self._clockwork, clock=now)
        self._roster = Roster(
            endpoints=self._endpoints,
            clockwork=self._clockwork,
            clock=now,
            seed=seed(),
            reporter=report,
            left=self._forget,
        )
        self._reload = Reload(file, running, shared=self._shared, clock=now, change=self._change, again=self.read_again)
        self._triggers = Triggers(report.woken, seed=seed())
        self._counting = RLock()  # held while it changes who is counted, which may call back at once
        self._running = ExitStack()

    @property
    def settings(self) -> Settings:
        """The configuration that runs."""
        return self._reload.running.settings

    def start(self) -> None:
        """Start everything; what is held is used, what is due is fetched. Raises ConfigError if an address is taken."""
        self._clockwork.start()
        self._running.callback(self._shared.close)
        self._running.callback(self._roster.lay_down)
        self._running.callback(self._clockwork.stop)
        self._keep(self._reload.running)
        self._running.callback(self._triggers.stop)
        self._look_over()
        server = _server(self, self._metrics, self.settings)
        if server:
            server.start()
            self._running.callback(server.stop)
        self._running.callback(self._reload.stop)
        self._reload.start()

    def stop(self) -> None:
        """Stop everything, in the opposite order; what takes longer than a moment is not waited for."""
        self._running.close()

    def read_again(self) -> None:
        """Read the configuration soon, and change what differs."""
        self._clockwork.at("configuration", now(), self._reload.read)

    def names(self) -> Sequence[str]:
        """The configured assets."""
        return [keeper.asset.name for keeper in self._roster.all()]

    def all_states(self) -> Sequence[AssetState]:
        """How all of them stand."""
        return [keeper.state() for keeper in self._roster.all()]

    def request_all(self) -> None:
        """Ask for a refresh of every asset now, because of a signal."""
        self._triggers.ask_all()

    def state(self, asset: str) -> AssetState:
        """How an asset stands. Raises NoSuchAssetError."""
        return self._roster.keeper(asset).state()

    def request(self, asset: str) -> Request:
        """Ask for a refresh now. Raises NoSuchAssetError."""
        with self._roster.keeping(asset) as keeper:
            return keeper.request()

    def go_back(self, asset: str, *, to: int | None) -> Future[None]:
        """Put an earlier generation back and pin it. Raises NoSuchAssetError."""
        with self._roster.keeping(asset) as keeper:
            return keeper.go_back(to=to)

    def unpin(self, asset: str) -> Future[None]:
        """Follow the source again. Raises NoSuchAssetError."""
        with self._roster.keeping(asset) as keeper:
            return keeper.unpin()

    def alive(self) -> bool:
        """Whether the scheduler's loop runs."""
        return now() - self._clockwork.beat_at < STUCK

    def configuration(self) -> ConfigurationState:
        """How the configuration on disk stands."""
        return self._reload.state

    def _keep(self, assembly: Assembly) -> None:
        kept = list(assembly.assets.values())
        with self._counting:
            self._metrics.begin(notifiers_of(kept))
            self._roster.change(kept)
        self._triggers.change(self._roster.all())

    def _change(self, before: Assembly, after: Assembly) -> None:
        transfers = after.settings.transfers
        after.traffic.limit(connections=transfers.connections, max_rate=transfers.max_rate)
        self._endpoints.allow(after.settings.endpoints)
        self._keep(after)
        log.info("the configuration was read again: %s", difference(before, after))
        garbage.settle()

    def _forget(self) -> None:
        """Count no more of whom nothing will be heard again."""
        with self._counting:
            around = self._roster.around()
            self._metrics.forget_all_but(notifiers_of(around))
            self._log.forget_all_but({asset.name for asset in around})

    def _look_over(self) -> None:
        """All assets in one action: waking up costs more than looking."""
        try:
            for keeper in self._roster.all():
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


def notifiers_of(assets: Iterable[Asset]) -> dict[str, set[str]]:
    """Each asset's notifiers by name; two may have one name, while one follows the other."""
    found: dict[str, set[str]] = {}
    for asset in assets:
        found.setdefault(asset.name, set()).update(named.name for named in asset.notifiers)
    return found


def run(file: ConfigurationFile) -> None:
    """Run the sidecar until SIGTERM or SIGINT. Raises ConfigError if it can't be started."""
    begin()
    reap_orphans()
    end = End()
    # Before all that takes time: a signal without an answer ends the process. What comes is answered once it runs.
    end.answer(signal.SIGHUP, lambda: sidecar.read_again())
    end.answer(signal.SIGUSR1, lambda: sidecar.request_all())
    sidecar = Sidecar(file)
    sidecar.start()
    garbage.settle()
    volume = sidecar.settings.volume
    log.info("refresher %s keeps fresh in %s: %s", __version__, volume, ", ".join(sidecar.names()))
    try:
        end.wait()
    finally:
        sidecar.stop()
    log.info("stopped")
