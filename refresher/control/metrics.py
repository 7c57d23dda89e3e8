"""The metrics, in a registry of their own. Labels are bounded: configured assets and notifiers, known results."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from refresher import __version__
from refresher.control.sidecar import Sidecar
from refresher.model import Outcome, Result
from refresher.state import AssetState, CircuitState, EndpointState, Trigger

STEPS = ("fetch", "stage", "verify", "publish")
"""Of a refresh, that are measured; `fetch` includes `stage`."""

TELLINGS = ("told", "failed", "rejected")
"""How one attempt to tell one notifier can end."""

BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800)
"""Seconds: from a rename to the download of a large model."""


class Metrics:
    """Counts what happens, and reads how things stand from the sidecar when it is asked.

    `notifiers` are every asset's notifiers by name; the sidecar is asked nothing before `text`.
    """

    def __init__(self, sidecar: Sidecar, *, notifiers: Mapping[str, Iterable[str]]) -> None:
        self._lock = Lock()
        self._begun: set[_Series] = set()
        self._registry = _Registry()
        self._refreshes = self._counter("refreshes", "Refreshes by how they ended", "asset", "result")
        self._notifications = self._counter(
            "notifications", "Tellings by how they ended", "asset", "notifier", "result"
        )
        self._triggers = self._counter(
            "triggers", "Looks and refreshes that something else asked for", "asset", "trigger"
        )
        self._fetched = self._counter("fetched_bytes", "Bytes that came from sources", "asset")
        self._durations = Histogram(
            "refresher_refresh_duration_seconds",
            "Seconds that each step of a refresh took; fetch includes stage",
            ("asset", "step"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Standing(sidecar))
        self.begin(notifiers)

    def begin(self, notifiers: Mapping[str, Iterable[str]]) -> None:
        """These are every asset's notifiers by name, from now on.

        Every series that can be known now starts at 0, for `rate()` can't see the first increase of one that wasn't
        there before.
        """
        with self._lock:
            for metric, labels in (series := set(self._series(notifiers))):
                metric.labels(*labels)
            self._begun |= series

    def forget_all_but(self, notifiers: Mapping[str, Iterable[str]]) -> None:
        """Have no series any more of what was begun before, and nobody counts any more."""
        with self._lock:
            for metric, labels in (gone := self._begun - set(self._series(notifiers))):
                metric.remove(*labels)
            self._begun -= gone

    def observe(self, outcome: Outcome) -> None:
        """Count one refresh."""
        self._refreshes.labels(outcome.asset, outcome.result).inc()
        self._fetched.labels(outcome.asset).inc(outcome.fetched_bytes)
        for step, seconds in outcome.steps.items():
            self._durations.labels(outcome.asset, step).observe(seconds)

    def observe_trigger(self, asset: str, trigger: Trigger) -> None:
        """Count one look or refresh that something besides the schedule and the local API asked for.

        Not of an asset that was just taken out: nobody would take its series out once more.
        """
        if (self._triggers, (asset, trigger)) in self._begun:
            self._triggers.labels(asset, trigger).inc()

    def observe_telling(self, asset: str, notifier: str, result: str) -> None:
        """Count one attempt to tell; `result` is one of `TELLINGS`."""
        if result not in TELLINGS:
            raise ValueError(f"a telling ends as one of {', '.join(TELLINGS)}, not {result}")
        self._notifications.labels(asset, notifier, result).inc()

    def text(self) -> bytes:
        """All of them in the Prometheus text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"refresher_{name}", meaning, labels, registry=self._registry)

    def _series(self, notifiers: Mapping[str, Iterable[str]]) -> "Iterator[_Series]":
        for asset, names in notifiers.items():
            yield self._fetched, (asset,)
            yield from ((self._durations, (asset, step)) for step in STEPS)
            yield from ((self._refreshes, (asset, result)) for result in Result)
            yield from ((self._triggers, (asset, trigger)) for trigger in Trigger)
            yield from ((self._notifications, (asset, name, result)) for name in names for result in TELLINGS)


_Series = tuple[Counter | Histogram, tuple[str, ...]]
"""A metric, and the values of its labels."""


class _Registry(CollectorRegistry):
    """Leaves out when each series was created, which would double their number and which nobody asks for."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class _Standing(Collector):
    """How every asset stands when it is asked.

    A moment that need not exist, such as an expiry, has no sample then; one that hasn't come yet, such as the first
    success, is 0, so that "too long ago" is true of it.
    """

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar

    def describe(self) -> Iterable[Metric]:
        """Nothing: asking the sidecar has to wait until it runs."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family for each gauge."""
        states, configuration = self._sidecar.all_states(), self._sidecar.configuration()
        for name, (meaning, value) in _GAUGES.items():
            yield _family(name, meaning, {state.asset: value(state) for state in states})
        yield _circuits([state.endpoint for state in states if state.endpoint])
        yield GaugeMetricFamily(
            "refresher_config_valid", "1 if the configuration, as its file is now, works", configuration.valid
        )
        yield GaugeMetricFamily(
            "refresher_config_last_reload_success_timestamp_seconds",
            "When the configuration that is used was read",
            configuration.loaded_at.timestamp(),
        )
        build = GaugeMetricFamily("refresher_build_info", "Always 1; which refresher this is", labels=("version",))
        build.add_metric((__version__,), 1)
        yield build


def _family(name: str, meaning: str, values: Mapping[str, float | None]) -> Metric:
    family = GaugeMetricFamily(f"refresher_{name}", meaning, labels=("asset",))
    for asset, value in values.items():
        if value is not None:
            family.add_metric((asset,), value)
    return family


def _circuits(endpoints: Iterable[EndpointState]) -> Metric:
    meaning = "1 while the server doesn't answer, and at most one asset at a time asks it"
    family = GaugeMetricFamily("refresher_endpoint_circuit_open", meaning, labels=("endpoint",))
    for address, circuit in sorted({each.address: each.circuit for each in endpoints}.items()):
        family.add_metric((address,), circuit is not CircuitState.CLOSED)
    return family


def _seconds(value: datetime | None) -> float | None:
    return value.timestamp() if value else None


_GAUGES: dict[str, tuple[str, Callable[[AssetState], float | None]]] = {
    "last_success_timestamp_seconds": (
        "When a refresh last worked, 0 if none has",
        lambda state: _seconds(state.last_success_at) or 0,
    ),
    "last_publish_timestamp_seconds": (
        "When the visible generation was published, 0 if there is none",
        lambda state: _seconds(state.published_at) or 0,
    ),
    "expiry_timestamp_seconds": (
        "When the visible generation expires, missing if it doesn't",
        lambda state: _seconds(state.expires_at),
    ),
    "renewal_timestamp_seconds": (
        "When the visible generation is to be replaced, missing if it doesn't expire",
        lambda state: _seconds(state.renewal_at),
    ),
    "next_refresh_timestamp_seconds": (
        "When the next refresh is due, missing if only on request",
        lambda state: _seconds(state.next_refresh_at),
    ),
    "ready": (
        "1 if there is a generation that is neither expired nor older than max_stale",
        lambda state: state.ready,
    ),
    "required": ("1 if the pod is to wait for it", lambda state: state.required),
    "generation": ("The visible generation, 0 if there is none", lambda state: state.generation or 0),
    "notified_generation": (
        "The generation that everybody was told of, 0 if none",
        lambda state: state.notified_generation or 0,
    ),
    "consecutive_failures": (
        "Refreshes that failed or were rejected since the last that worked",
        lambda state: state.consecutive_failures,
    ),
    "transfer_bytes": (
        "Bytes that have come of what is on its way, 0 if nothing is",
        lambda state: state.transfer.received if state.transfer else 0,
    ),
    "transfer_expected_bytes": (
        "Bytes of what is on its way, 0 if nothing is, missing if the source doesn't say",
        lambda state: state.transfer.expected if state.transfer else 0,
    ),
}
